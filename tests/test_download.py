"""Downloads are kept whole and right, or not at all."""

import hashlib
import http.server
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from declouds.download import cache_folder, download, offline, published_weights

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ASKED = []  # of the server


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ASKED.append(self.path)
        time.sleep(0.2 if self.path == "/slow" else 0)
        self.send_response(404 if self.path == "/absent" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path == "/cut" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    ASKED.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
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


NAME = f"net-{DIGEST[:8]}.pth"


@pytest.fixture
def caches(monkeypatch, tmp_path):
    """Two empty caches: ours, and torch hub's."""
    for name in ("NET_WEIGHTS", "DECLOUDS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache", tmp_path / "torch" / "hub" / "checkpoints"


def test_published_weights_come_from_the_first_place_that_has_them(server, caches, monkeypatch, tmp_path):
    def find(given=None):
        return published_weights(NAME, f"{server}/whole", "NET_WEIGHTS", given)

    ours, hub = (folder / NAME for folder in caches)
    hub.parent.mkdir(parents=True)
    hub.touch()
    assert find() == hub
    hub.unlink()
    assert find() == ours and ours.read_bytes() == CONTENT
    hub.touch()
    assert find() == ours
    monkeypatch.setenv("NET_WEIGHTS", str(tmp_path / "named.pth"))
    assert find() == tmp_path / "named.pth"
    assert find(tmp_path / "given.pth") == tmp_path / "given.pth"
    assert ASKED == ["/whole"]


def test_only_one_of_many_downloads_and_no_lock_is_left(server, caches):
    caches[0].mkdir()
    (caches[0] / f".{NAME}.lock").touch()  # of a process that was killed
    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: published_weights(NAME, f"{server}/slow", "NET_WEIGHTS"), range(6)))
    assert found == {caches[0] / NAME}
    assert ASKED == ["/slow"]
    assert list(caches[0].iterdir()) == [caches[0] / NAME]


def test_after_a_failure_the_next_one_tries_and_nothing_is_left(server, caches):
    with ThreadPoolExecutor(3) as pool:
        tries = [pool.submit(published_weights, NAME, f"{server}/cut", "NET_WEIGHTS") for _ in range(3)]
    for attempt in tries:
        with pytest.raises(OSError, match="another file"):
            attempt.result()
    assert ASKED == ["/cut"] * 3
    assert list(caches[0].iterdir()) == []


def test_forbidden_downloads_leave_no_folder(caches, monkeypatch):
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    with pytest.raises(OSError, match="DECLOUDS_OFFLINE forbids it"):
        published_weights(NAME, "http://127.0.0.1:9/whole", "NET_WEIGHTS")
    assert not caches[0].exists()
