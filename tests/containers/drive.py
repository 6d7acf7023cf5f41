"""The launch command with stubs for parties, as a program of its own."""

import argparse
import os
import sys
from pathlib import Path

from containers.errors import ConfigError
from containers.launch import add_arguments, run

STUB = str(Path(__file__).with_name("stub.py"))
STUBS = {role: (sys.executable, STUB, role) for role in ("keys", "coordinator", "site")}


def main():
    parser = argparse.ArgumentParser()
    parser.set_defaults(parent=os.getppid())
    add_arguments(parser)
    try:
        sys.exit(run(parser.parse_args(), STUBS))
    except ConfigError as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main()
