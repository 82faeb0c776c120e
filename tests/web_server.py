"""A web server on the loopback that serves files by ranges, counts what it sends, and fails on request.

It is a process of its own: GDAL holds Python's lock while it asks for headers, so a thread could not answer.
"""

import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

STATE = "/.state"
LOGIN = b"<!DOCTYPE html><html><title>Sign in</title></html>"
ERRORS = {  # as buckets have them
    403: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    404: b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>",
}

# Of GDAL, so that failures take moments; the product leaves what the environment sets as it is.
FAST = {
    "GDAL_HTTP_RETRY_DELAY": "0.01",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_CONNECTTIMEOUT": "60",  # the machine may be busy
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    "CPL_VSIL_CURL_CACHE_SIZE": "65536",  # bytes, so that small files have to be asked for again
}


class Server:
    """The server, as a test sees it.

    Attributes:
        root: the folder that is served.
        url: its address.
    """

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.url = root, f"http://127.0.0.1:{port}"

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path, with its query, of each request."""
        return [(method, path) for method, path in self._tell({})["asked"]]

    @property
    def sent(self) -> dict[str, int]:
        """Bytes of files, by path."""
        return self._tell({})["sent"]

    @property
    def searches(self) -> list[Any]:
        """What was searched."""
        return self._tell({})["searches"]

    def fail(self, path: str, *failures: int | str | None) -> None:
        """Let the next requests for a path fail in this order; the last one stays.

        They are a status, `login`, `slow`, `drop`, `cut` (half of the answer), or `whole` (ranges are ignored).
        """
        self._tell({"failures": {path: list(failures)}})

    def page(self, path: str, content: Any) -> None:
        """Answer with JSON."""
        self._tell({"pages": {path: content}})

    def search(self, path: str, items: Any) -> None:
        """Answer as the search of a STAC API does, with those of the items that are of the collection and the days."""
        self._tell({"found": {path: items}})

    def _tell(self, changes: dict[str, Any]) -> Any:
        with urllib.request.urlopen(f"{self.url}{STATE}", json.dumps(changes).encode(), timeout=60) as answer:
            return json.load(answer)


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """Serve a folder while the block runs."""
    process = subprocess.Popen([sys.executable, __file__, str(root)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Server(root, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    root = Path()
    state: dict[str, Any] = dict(failures={}, pages={}, found={}, asked=[], sent={}, searches=[])  # noqa: RUF012
    lock = threading.Lock()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            if path == STATE:
                for name, changes in json.loads(body).items():
                    self.state[name].update(changes)
                return self.reply(200, json.dumps(self.state).encode())
            self.state["asked"].append((self.command, self.path))
            queue = self.state["failures"].get(path) or [None]
            failure = queue.pop(0) if len(queue) > 1 else queue[0]
        self.answer(path, failure, body)

    do_HEAD = do_POST = do_GET

    def answer(self, path: str, failure: Any, body: bytes) -> None:
        if failure == "slow":
            time.sleep(600)
        if failure == "drop":
            self.close_connection = True
        elif failure == "login":
            self.reply(200, LOGIN, {"Content-Type": "text/html"})
        elif isinstance(failure, int):
            self.reply(failure, ERRORS.get(failure, b"no"))
        elif path in self.state["pages"]:
            self.reply(200, json.dumps(self.state["pages"][path]).encode())
        elif path in self.state["found"]:
            self.reply(200, json.dumps(self.found(self.state["found"][path], json.loads(body))).encode())
        elif (self.root / path.lstrip("/")).is_file():
            self.serve(path, failure)
        else:
            self.reply(404, ERRORS[404])

    def found(self, items: Any, wanted: Any) -> Any:
        self.state["searches"].append(wanted)
        first, last = (day[:10] for day in wanted["datetime"].split("/"))
        features = [
            item
            for item in items
            if item["collection"] in wanted["collections"] and first <= item["properties"]["datetime"][:10] <= last
        ]
        return {"type": "FeatureCollection", "features": features, "links": []}

    def serve(self, path: str, failure: Any) -> None:
        data, status, headers = (self.root / path.lstrip("/")).read_bytes(), 200, {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted and failure != "whole":
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}", "Accept-Ranges": "bytes"}
            data, status = data[first : last + 1], 206
        if self.command == "GET":
            with self.lock:
                self.state["sent"][path] = self.state["sent"].get(path, 0) + len(data)
        self.reply(status, data, headers, cut=failure == "cut")

    def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection |= cut

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class _Quiet(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Keep quiet: clients may go."""


if __name__ == "__main__":
    _Handler.root = Path(sys.argv[1])
    with _Quiet(("127.0.0.1", 0), _Handler) as running:
        print(running.server_port, flush=True)
        running.serve_forever()
