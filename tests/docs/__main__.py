"""``python -m tests.docs [PAGE ...]``: run every command in the documentation, and count them."""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.docs.pages import ROOT, Block, blocks, is_checkout, pages
from tests.docs.reader import Differs, Reader, shown
from tests.e2e.checkout import copy_checkout


def show(block: Block, said: str) -> None:
    """Print a command and what it printed."""
    print(f"--- {shown(block)}\n{block.text}{said}", flush=True)


def follow(page: str, hears: Callable[[Block, str], None]) -> Counter[str]:
    """Follow one page in a scratch folder; count what was done.

    Raises:
        Differs: something in it does not work; the folder stays, to be looked at.
    """
    folder = Path(tempfile.mkdtemp(prefix="st-docs-", dir="/tmp"))
    if is_checkout(page):
        copy_checkout(folder)
        for name in ("tests", "pyproject.toml"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    reader, done = Reader(folder, checkout=is_checkout(page), hears=hears), Counter[str]()
    try:
        for block in blocks(page):
            what = reader.follow(block)
            done[what] += 1
            if what == "not run":
                print(f"  not run, {page}:{block.line}: {block.value}", flush=True)
        reader.leave()
    finally:
        reader.close()
    shutil.rmtree(folder)
    return done


def main() -> int:
    """Follow the pages; give 1 where one of them is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="by default all")
    parser.add_argument("--show", action="store_true", help="print what every command prints")
    options = parser.parse_args()
    hears = show if options.show else lambda block, said: None
    total, wrong = Counter[str](), []
    for page in options.pages or pages():
        began = time.monotonic()
        try:
            done = follow(page, hears)
        except Differs as found:
            wrong.append(page)
            print(f"WRONG {found}", file=sys.stderr, flush=True)
            continue
        total += done
        counts = ", ".join(f"{count} {what}" for what, count in sorted(done.items()) if what != "read")
        print(f"{page}: {counts or 'no command'} ({time.monotonic() - began:.0f} s)", flush=True)
    print(
        f"command blocks: {total['run']} run, {total['not run']} not run; wrong: {', '.join(wrong) or 'none'}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
