"""The four errors of Suture, each named after who must act on it.

A message says what was found, what was expected, where, and what to do.
"""

EXIT_BAD_INPUT = 2
EXIT_PROTOCOL = 4
EXIT_PEER_LOST = 5


class SutureError(Exception):
    """An error with a message meant for a person; ``exit_status`` is what a command returns."""

    exit_status = 1


class ConfigError(SutureError):
    """The user must change the configuration or the command line."""

    exit_status = EXIT_BAD_INPUT

    def __init__(self, message: str, *, key: str = "") -> None:
        """Take the message, and the config key it is about, such as ``tasks.heart.cut``."""
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


class DataError(SutureError):
    """A site's data steward must look at a file."""

    exit_status = EXIT_BAD_INPUT


class ProtocolError(SutureError):
    """A peer sent what the state of the conversation does not allow."""

    exit_status = EXIT_PROTOCOL

    def __init__(self, message: str, peer: str = "") -> None:
        """Take the message, and who sent it where that is known."""
        super().__init__(message)
        self.peer = peer


class PeerLost(SutureError):
    """A party ended or became unreachable; the operator must look at it."""

    exit_status = EXIT_PEER_LOST


class PeerRemoved(PeerLost):
    """A party was removed from the manifest while it took part; it is not waited for."""
