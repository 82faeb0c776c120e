"""What is refused before Gradio sees it: requests of other web pages, and bodies that are too large."""

from typing import Any
from urllib.parse import urlsplit

LOCAL = ("127.0.0.1", "localhost")


class Guard:
    """An ASGI application in front of another one.

    A browser lets any web page send requests to this machine, and a name of its own can be made to mean 127.0.0.1. Both
    show in the headers ``Origin`` and ``Host``.

    Args:
        app: the application behind.
        most_bytes: the largest body of a request.
    """

    def __init__(self, app: Any, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        status, text = refusal
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{text}\n".encode()})

    def _refusal(self, scope: Any) -> tuple[int, str] | None:
        """Return status and reason if a request is refused."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        hosts = [f"//{headers.get('host', '')}", *([headers["origin"]] if "origin" in headers else [])]
        if any(_machine(host) not in LOCAL for host in hosts):
            return 403, "the page is for this machine alone: open it at http://127.0.0.1"
        if "/file=http" in scope["path"].lower():
            return 403, "files are not fetched from the web"
        if scope["method"] == "POST":
            length = headers.get("content-length", "")
            if not length.isdigit():
                return 411, "say how large the upload is (Content-Length)"
            if int(length) > self.most_bytes:
                return 413, f"{int(length):,} bytes are more than the {self.most_bytes:,} allowed (--max-size)"
        return None


def _machine(address: str) -> str | None:
    """Return the name of the machine in an address."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
