"""Open records are fetched only when asked for, over https, and kept only if they are what was meant."""

import hashlib
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import pytest
import yaml

from tests.conftest import ROOT, require

RECORDS = b"63.0,1.0,1.0,145.0\n"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Give a file with a key and its certificate, for this machine alone."""
    if not which("openssl"):
        require("openssl", "the program openssl is missing, which makes a certificate")
    path = tmp_path / "certificate.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    named = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.public"]
    subprocess.run([*words, *named], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.public").read_text())
    return path


@pytest.fixture
def source(tmp_path: Path, certificate: Path) -> Iterator[str]:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a.data").write_bytes(RECORDS)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "public"))
    server = ThreadingHTTPServer(("localhost", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def download(folder: Path, source: str, sha256: str) -> subprocess.CompletedProcess[str]:
    listed = {"some": {"licence": "none", "source": source, "files": {"a.data": sha256}}}
    (folder / "listed.yaml").write_text(yaml.safe_dump(listed), encoding="utf-8")
    settings = ["sets=some", f"data_root={folder / 'records'}", f"downloads={folder / 'listed.yaml'}"]
    words = ["-s", str(ROOT / "workflow/download.smk"), "--cores", "1", "--config", *settings]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_file_that_is_what_was_meant_is_kept(
    tmp_path: Path, source: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.public")
    done = download(tmp_path, source, hashlib.sha256(RECORDS).hexdigest())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "records/some/a.data").read_bytes() == RECORDS
    assert "Nothing to be done" in download(tmp_path, source, hashlib.sha256(RECORDS).hexdigest()).stderr


def test_another_file_is_not_kept(
    tmp_path: Path, source: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.public")
    done = download(tmp_path, source, "0" * 64)
    assert done.returncode != 0
    assert f"its sha256 is {hashlib.sha256(RECORDS).hexdigest()}, expected {'0' * 64}" in done.stderr
    assert not [path for path in (tmp_path / "records").rglob("*") if path.is_file()]


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_who_cannot_prove_its_name_is_not_believed(tmp_path: Path, source: str, scheme: str) -> None:
    done = download(tmp_path, source.replace("https", scheme), hashlib.sha256(RECORDS).hexdigest())
    assert done.returncode != 0
    assert ("CERTIFICATE_VERIFY_FAILED" if scheme == "https" else "begins with https://") in done.stderr
    assert not (tmp_path / "records/some/a.data").exists()


def test_an_unknown_set_is_named_with_those_there_are(tmp_path: Path) -> None:
    words = [
        "-s",
        str(ROOT / "workflow/download.smk"),
        "--cores",
        "1",
        "--config",
        "sets=heart",
        "data_root=x",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "heart_disease, medmnist, eicu_demo" in done.stderr
