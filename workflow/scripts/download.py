"""Fetch a file over https, and keep it only if its sha256 is the one that was expected."""

import argparse
import hashlib
import os
import sys
import urllib.request
from pathlib import Path
from typing import Final

CHUNK: Final = 1 << 20
SILENCE_SECONDS: Final = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Fetch; returns the exit status, 2 where what came is not what was meant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="https://...")
    parser.add_argument("--sha256", required=True, help="what the file must be (hex)")
    parser.add_argument("--out", type=Path, required=True, help="where it goes")
    options = parser.parse_args(arguments)
    if not options.url.startswith("https://"):
        return _refuse(f"{options.url}: expected an address that begins with https://")
    partial = options.out.with_name(f".{options.out.name}.{os.getpid()}.partial")
    try:
        found = fetch(options.url, partial)
        if found != options.sha256:
            return _refuse(
                f"{options.url}: its sha256 is {found}, expected {options.sha256}: another version, or not "
                "what was meant; nothing was kept. Compare config/downloads.yaml with what the source says"
            )
        partial.replace(options.out)
    except OSError as error:
        return _refuse(f"{options.url}: cannot be fetched ({error}); see whether this machine reaches it")
    finally:
        partial.unlink(missing_ok=True)
    return 0


def fetch(url: str, path: Path) -> str:
    """Write what an address holds to a file, and give its sha256 (hex).

    Raises:
        OSError: it cannot be reached, its certificate is not trusted, or the file cannot be written.
    """
    hashed = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    # https alone is let through above
    with urllib.request.urlopen(url, timeout=SILENCE_SECONDS) as answer, path.open("wb") as file:  # noqa: S310
        while chunk := answer.read(CHUNK):
            hashed.update(chunk)
            file.write(chunk)
    return hashed.hexdigest()


def _refuse(why: str) -> int:
    print(f"download: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
