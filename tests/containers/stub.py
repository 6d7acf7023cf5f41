"""Tiny real programs in the parties' place; what each does stands in the spec under `stub`."""

import argparse
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path


def main():
    role, *arguments = sys.argv[1:]
    if role == "look":
        print(json.dumps(look(arguments)))
        return
    if role == "keys":
        make_keys(arguments)
        return
    options = parse(arguments)
    party = options.site or "coordinator"
    behave(party, options, json.loads(options.spec.read_text())["stub"].get(party, {}))


def make_keys(arguments):
    folder = Path(arguments[1])
    for name in arguments[2:]:
        (folder / f"{name}.secret").write_text("secret")
    (folder / "manifest.json").write_text(json.dumps(dict.fromkeys(arguments[2:], "public")))


def look(places):
    """Tell what a process sees and may do: of the places named, what is there and what can be written."""
    status = Path("/proc/self/status").read_text().splitlines()
    rights = dict(line.split(":\t") for line in status if line.startswith(("Cap", "NoNewPrivs")))
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return {
        "interfaces": [name for _, name in socket.if_nameindex()],
        "there": [place for place in places if Path(place).exists()],
        "writable": [place for place in places if Path(place).exists() and can_write(Path(place))],
        "processes": len(pids),
        "rights": rights,
    }


def can_write(place):
    """Try it, whatever the permission bits say."""
    # the parties of a gang try the same folder at the same time
    probe = place / f"probe-{uuid.uuid4().hex}" if place.is_dir() else place
    try:
        with probe.open("ab"):
            pass
    except OSError:
        return False
    if probe != place:
        probe.unlink()
    return True


def parse(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--site")
    for name in ("--spec", "--statistics", "--secret", "--manifest", "--state"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--endpoint")
    parser.add_argument("--lifeline", action="store_true", required=True)
    return parser.parse_args(arguments)


def behave(party, options, does):
    if does.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        threading.Thread(target=watch_lifeline, args=(party, options.state), daemon=True).start()
    seen = {
        "argv": sys.argv,
        "environment": dict(os.environ),
        "keys": options.secret.exists(),
        "manifest": json.loads(options.manifest.read_text()),
        "pid": os.getpid(),
        "looked": look(does.get("looks", [])),
        "read": {place: Path(place).read_text() for place in does.get("reads", []) if Path(place).exists()},
        "meeting": {
            "files": sorted(path.name for path in options.secret.parent.iterdir()),
            "may_bind": can_write(options.secret.parent / "socket"),
        },
    }
    publish(options.state / "seen.json", json.dumps(seen))
    if party == "coordinator" and options.endpoint.startswith("tcp"):
        publish(options.state / "endpoint", "tcp://127.0.0.1:4711")
    if "commits" in does:  # so many seconds apart
        threading.Thread(
            target=commit, args=(options.state / "commits", does["commits"]), daemon=True
        ).start()
    if does.get("child"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(options.state)])
    # written at once: a reader that counts the seconds between lines must not see any
    lines = [line if isinstance(line, str) else json.dumps(line) for line in does.get("prints", [])]
    print("".join(f"{line}\n" for line in lines), end="", flush=True)
    print(f"{party} is here", file=sys.stderr)
    if "takes" in does:  # so many bytes
        bytearray(does["takes"])
    if "lingers" in does:  # so long after the launcher is gone
        wait_for_the_end_of_the_lifeline()
    time.sleep(does.get("lingers", does.get("seconds", 0.1)))
    if "mourns" in does:
        wait_for_death(options.state.parent / does["mourns"] / "seen.json")
    for name, text in does.get("out", {}).items():
        path = options.state / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if does.get("dies"):
        os.kill(os.getpid(), getattr(signal, does["dies"]))
    code = does.get("code", 0)
    if "cause" in does or code == 0:
        say_end(party, options.state, code, does.get("cause", "ok"), does.get("message", ""))
    os._exit(code)


def commit(folder, seconds):
    folder.mkdir(exist_ok=True)
    for number in itertools.count():
        publish(folder / f"{number}.safetensors", "")
        time.sleep(seconds)


def wait_for_death(seen):
    """Notice a peer's death at once, as a closed connection does."""
    while not seen.exists():
        time.sleep(0.001)
    status = Path(f"/proc/{json.loads(seen.read_text())['pid']}/stat")
    while status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.001)


def wait_for_the_end_of_the_lifeline():
    while os.read(0, 4096):
        pass


def watch_lifeline(party, state):
    wait_for_the_end_of_the_lifeline()
    say_end(party, state, 6, "lifeline", "the launcher closed this party's lifeline")
    os._exit(6)


def say_end(party, state, code, cause, message):
    end = {"party": party, "code": code, "cause": cause, "message": message, "time": time.time()}
    publish(state / "exit.json", json.dumps(end))


def publish(path, text):
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)


if __name__ == "__main__":
    main()
