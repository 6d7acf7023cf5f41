"""A short, seeded run of the fuzzer; `make fuzz` runs it for ten million inputs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.conftest import require
from tests.fuzz.wire import corpus, frames_in, hear, joined

ROOT = Path(__file__).resolve().parent.parent.parent
INPUTS = 20_000


def test_no_input_does_more_than_break_the_protocol(tmp_path):
    if importlib.util.find_spec("atheris") is None:
        require("atheris", "atheris is not installed (requirements-dev.txt)")
    words = [sys.executable, "-m", "tests.fuzz", "--inputs", str(INPUTS), "--seed", "1", "--keep", tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {INPUTS} runs" in done.stderr


def test_the_fuzzer_begins_with_messages_that_are_heard():
    for content in corpus():
        frames = frames_in(content)
        assert joined(frames) == content
        hear(content)
