"""Downloads are kept whole and right, or not at all."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from declouds.download import cache_folder, download, offline

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.path == "/absent" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path == "/cut" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_fetched_into_a_new_folder(server, tmp_path):
    path = tmp_path / "cache" / "weights.pth"
    download(f"{server}/whole", path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("url", "digest", "word"),
    [
        ("{server}/whole", "0" * 64, "another file"),
        ("{server}/cut", DIGEST, "another file"),
        ("{server}/absent", DIGEST, "404"),
        ("http://127.0.0.1:9/whole", DIGEST, "refused"),
    ],
)
def test_nothing_is_kept_of_what_fails(server, tmp_path, url, digest, word):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"as before")
    with pytest.raises(OSError, match=word):
        download(url.format(server=server), path, digest)
    assert path.read_bytes() == b"as before"
    assert list(tmp_path.iterdir()) == [path]


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("DECLOUDS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "declouds"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "declouds"


@pytest.mark.parametrize(("value", "forbidden"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_downloads_can_be_forbidden(monkeypatch, value, forbidden):
    monkeypatch.delenv("DECLOUDS_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("DECLOUDS_OFFLINE", value)
    assert offline() is forbidden
