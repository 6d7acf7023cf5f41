"""The page on the protocol is enough: a client written from it takes part, and nobody waits in vain."""

import subprocess
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.mark.timeout(300)  # a hang, not slowness
def test_a_client_written_from_the_page_takes_part():
    words = [sys.executable, "-m", "tests.docs", "--show", "docs/protocol.md"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "took part in 3 rounds" in done.stdout
