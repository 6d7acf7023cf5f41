"""Starts a container through a client, and sees that it does not outlive the client.

A daemon holds the container, so nothing that ends the client ends it: not a signal to its process group,
not its parent's death. A second process waits for the client's end, in a session of its own, lets the
container leave by itself once its standard input has ended, and removes it. What the client inherited
(the lock on a gang's state) that process holds until then.

A script of its own, with nothing imported but the standard library: it is started once per container.
"""

import os
import secrets
import signal
import subprocess
import sys
import time

LEAVE_SECONDS = 9.0  # a party commits and leaves; launchers give it about as long
LOOK_SECONDS = 0.2


def main(words: list[str]) -> None:
    """Become ``CLIENT … run …``, with a name for its container."""
    client, arguments = words[: words.index("run")], words[words.index("run") + 1 :]
    name = f"suture-{secrets.token_hex(8)}"
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        attend(client, name, reading)
        os._exit(0)
    os.close(reading)
    os.set_inheritable(writing, True)  # open for as long as the client lives
    os.execvp(client[0], [*client, "run", "--name", name, *arguments])  # noqa: S606 - it becomes the client


def attend(client: list[str], name: str, reading: int) -> None:
    """Wait for the client's end, then for the container's, and end it where it stays."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # whoever reads the client's output waits for its end
        os.dup2(nowhere, standard)
    os.read(reading, 1)
    give_up = time.monotonic() + LEAVE_SECONDS
    while is_there(client, name) and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
    if is_there(client, name):
        ask(client, "rm", "--force", name)


def is_there(client: list[str], name: str) -> bool:
    """Ask the daemon whether it still holds the container."""
    return bool(ask(client, "ps", "--all", "--quiet", "--filter", f"name={name}").strip())


def ask(client: list[str], *words: str) -> str:
    """Ask the daemon; no answer is none."""
    return subprocess.run([*client, *words], capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    main(sys.argv[1:])
