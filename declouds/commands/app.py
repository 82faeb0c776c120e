"""`declouds app`: clear scenes on a page in the browser."""

import argparse

from declouds.commands.predict import size_in_bytes

HELP = "clear scenes on a page in the browser, which is served on this machine alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="weights file, or a name from the zoo, to choose on the page beside those that come with declouds; repeat "
        "it for more",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port of the page (default: 7860)")
    parser.add_argument(
        "--max-size",
        type=size_in_bytes,
        default=2**30,
        metavar="SIZE",
        help="largest upload, such as 800M or 4G (default: 1G)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    import signal
    import sys
    import webbrowser

    from declouds.app.server import serving

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # else the folder of uploads would stay
    try:
        with serving(args.checkpoint, port=args.port, most_bytes=args.max_size, device=args.device) as address:
            print(f"{address} (Ctrl-C ends it)", flush=True)
            if args.open:
                webbrowser.open(address)
            _wait()
    except KeyboardInterrupt:
        print("\nended: no file was kept")


def _wait() -> None:
    """Wait for ever."""
    import threading

    threading.Event().wait()
