"""A coverage-guided fuzzer for what comes over the wire: frames in, a message or a ProtocolError out.

`python -m tests.fuzz --inputs N --seed S` mutates real messages of every kind, byte by byte as libFuzzer does
(atheris) and value by value in their headers. Anything else that comes of an input, a hang or too much memory
is a crash: the exit status is not 0 and the input is kept.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["coordinator", "sites.incoming"]):
    from tests.fuzz.mutate import mutate_header
    from tests.fuzz.wire import corpus, hear

LONGEST_INPUT = 4096  # bytes; a message's arrays need not be large to be wrong
MEMORY_MIB = 2048
HANG_SECONDS = 60  # of the wall: a busy machine is slow at times


def mutated(content: bytes, longest: int, seed: int) -> bytes:
    """Change an input, half of the time in a header's values."""
    found = mutate_header(content, longest, seed) if seed % 2 else None
    return found or atheris.Mutate(content, longest)


def main() -> None:
    """Fuzz; leaves by libFuzzer's own exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1, help="above 0: libFuzzer draws one for 0")
    parser.add_argument("--keep", type=Path, help="folder for inputs that crash; empty: a temporary one")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="suture-fuzz-"))
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(corpus()):
        (folder / "corpus" / f"{number:03}").write_bytes(content)
    limits = [f"-max_len={LONGEST_INPUT}", f"-rss_limit_mb={MEMORY_MIB}", f"-timeout={HANG_SECONDS}"]
    how = [
        f"-runs={options.inputs}",
        f"-seed={options.seed}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *limits, *how, str(folder / "corpus")], hear, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
