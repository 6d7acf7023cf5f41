"""What a person at the command line must change; everything else is an outcome of a party."""

EXIT_BAD_INPUT = 2


class ConfigError(Exception):
    """A message that says what was found, what was expected, where, and what to do."""
