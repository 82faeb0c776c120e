"""The server of the page: this machine alone, one job at a time, a folder that is removed at the end."""

import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.hardware import pick_device
from declouds.weights.file import fits_any_units
from declouds.weights.zoo import GENERAL, find_weights

HOST = "127.0.0.1"
NOTHING_ELSE: dict[str, Any] = dict(  # no server but this one, no way to it from elsewhere, and nothing beside the page
    **dict(server_name=HOST, share=False, ssr_mode=False, num_workers=0, mcp_server=False, pwa=False),
    **dict(prevent_thread_lock=True, inbrowser=False, quiet=True),
    **dict(enable_monitoring=False, run_history=False, footer_links=[]),
)
FONTS = ["system-ui", "sans-serif"]  # of the machine: Gradio's own are fetched from the web
STYLE = """
.facts { margin: 0; }
.facts div { display: flex; gap: 1rem; padding: .3rem 0; border-bottom: 1px solid var(--border-color-primary); }
.facts dt { flex: 0 0 6rem; color: var(--body-text-color-subdued); }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.maps figure { margin: 0; }
.maps img { width: 100%; border-radius: 4px; }
"""


@contextmanager
def serving(
    checkpoints: Sequence[str] = (), *, port: int = 7860, most_bytes: int = 2**30, device: str = "auto"
) -> Iterator[str]:
    """Serve the page inside the context, and give its address.

    Args:
        checkpoints: weights to choose from, beside those that come with declouds: files, or names of the zoo.
        port: where it is served.
        most_bytes: the largest upload.
        device: where the models run.

    Raises:
        UserError: weights are unusable, there is no such device, the port cannot be used, or Gradio is not installed.
    """
    models: dict[str, str | None] = {f"{GENERAL}: comes with declouds": None}
    for given in checkpoints:
        weights = find_weights(given)
        fits_any_units(weights)  # refuses what holds no weights
        models[given] = str(weights)
    pick_device(device)
    _check_port(port)
    with tempfile.TemporaryDirectory(prefix="declouds_app_", ignore_cleanup_errors=True) as name, _gradio_in(name):
        try:
            from gradio.themes import Default
            from starlette.middleware import Middleware
        except ImportError as error:
            raise UserError(
                f'the page is made with Gradio, which cannot be imported ({error}): pip install "declouds[app]"'
            ) from error

        from declouds.app.guard import Guard
        from declouds.app.page import build_page
        from declouds.app.sessions import Sessions

        sessions = Sessions(Path(name).resolve())
        page = build_page(models, sessions, device)
        try:
            page.launch(
                server_port=port,
                max_file_size=most_bytes,
                app_kwargs=dict(middleware=[Middleware(Guard, most_bytes=most_bytes)], docs_url=None, redoc_url=None),
                theme=Default(primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=["monospace"]),
                css=STYLE,
                **NOTHING_ELSE,
            )
            yield str(page.local_url)
        finally:
            sessions.stop_all()
            page.close(verbose=False)


def _check_port(port: int) -> None:
    """Refuse a port that cannot be used."""
    if not 0 < port < 2**16:
        raise UserError(f"port {port}: give a number from 1 to 65535, such as --port 7860")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does, after a former one
            probe.bind((HOST, port))
    except OSError as error:
        another = 7861 if port == 7860 else 7860
        raise UserError(
            f"port {port} cannot be used ({error.strerror}): give another one (--port {another})"
        ) from error


@contextmanager
def _gradio_in(folder: str) -> Iterator[None]:
    """Let Gradio put its files into a folder, send nothing to its makers, and reach this machine without a proxy."""
    direct = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST]))
    wanted = dict(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False", no_proxy=direct)
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
