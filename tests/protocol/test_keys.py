"""Key files: private, checked, refused with a sentence."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from nacl.public import PrivateKey

from coordinator.errors import ConfigError
from coordinator.protocol.keys import make, read_manifest, read_secret

ROOT = Path(__file__).resolve().parent.parent.parent
GOOD = base64.b64encode(bytes(32)).decode()


def keys(*words):
    return subprocess.run(
        [sys.executable, "-m", "coordinator", "keys", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


def test_secrets_are_private_and_fit_the_manifest(folder):
    done = keys("--out", folder, "coordinator", "east")
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(folder / "manifest.json")
    assert list(manifest) == ["coordinator", "east"]
    for name, public in manifest.items():
        path = folder / f"{name}.secret"
        assert path.stat().st_mode & 0o777 == 0o600
        secret = read_secret(path)
        assert bytes(PrivateKey(secret.curve).public_key) == public.curve
        assert bytes(PrivateKey(secret.seal).public_key) == public.seal
        assert secret.curve != secret.seal
        text = (folder / "manifest.json").read_text()
        assert base64.b64encode(secret.curve).decode() not in text
        assert base64.b64encode(secret.seal).decode() not in text


def test_keys_are_fresh_each_time(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, ["east"])
    assert read_secret(tmp_path / "a" / "east.secret") != read_secret(tmp_path / "b" / "east.secret")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_folder_others_may_enter_is_refused(folder, mode):
    folder.chmod(mode)
    done = keys("--out", folder, "east")
    assert done.returncode == 2
    assert "mode 700" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.iterdir())


def test_a_missing_folder_is_refused(tmp_path):
    done = keys("--out", tmp_path / "none", "east")
    assert done.returncode == 2
    assert "expected an existing folder" in done.stderr


def test_existing_keys_are_not_overwritten(folder):
    make(folder, ["east"])
    before = (folder / "east.secret").read_bytes()
    done = keys("--out", folder, "east")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (folder / "east.secret").read_bytes() == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_others_may_read_is_refused(folder, mode):
    make(folder, ["east"])
    (folder / "east.secret").chmod(mode)
    with pytest.raises(ConfigError, match="others may read this key; run `chmod 600"):
        read_secret(folder / "east.secret")


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{", '"x"', "{}", '{"curve": 1, "seal": 2}', '{"curve": null}',
        json.dumps({"curve": GOOD}), json.dumps({"curve": GOOD, "seal": GOOD[:-4]}),
        json.dumps({"curve": GOOD, "seal": "not base64!"}), "\udcff",
    ],
)  # fmt: skip
def test_what_is_no_key_file_is_refused_by_name(folder, text):
    path = folder / "east.secret"
    path.write_bytes(text.encode(errors="surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"east\.secret.*make keys anew"):
        read_secret(path)
    if text != "{}":
        path.write_bytes(b'{"east": %s}' % (text.encode(errors="surrogateescape") or b"1"))
        with pytest.raises(ConfigError, match="make keys anew"):
            read_manifest(path)


def test_a_missing_key_file_is_refused_by_name(folder):
    for read in (read_secret, read_manifest):
        with pytest.raises(ConfigError, match="nowhere"):
            read(folder / "nowhere")
