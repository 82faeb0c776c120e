"""What all tests share: where the real data lie, a browser, and a stand-in for weights that have to be downloaded."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads slow a busy machine many times

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 180_000  # milliseconds that a page on a busy machine may take: only a fault takes as long

settings.register_profile("declouds", deadline=None)  # an example may take as long as a busy machine needs
settings.load_profile("declouds")


def _shared_folder() -> Path:
    return Path(os.environ.get("DECLOUDS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real image pairs, scenes and golden outputs; tests that need it are skipped where it is absent."""
    folder = _shared_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set DECLOUDS_SHARED to the folder that holds data/ and goldens/")
    return folder


@pytest.fixture
def time_series(shared: Path) -> Path:
    """The folder of Sentinel-2 dates of one place."""
    found = shared / "data" / "s2_timeseries"
    if not found.is_dir():
        pytest.skip("no time series")
    return found


@pytest.fixture(scope="session")
def vgg16_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of the layers of VGG16 that the perceptual loss compares."""
    import torch

    from declouds.losses.perceptual import LAYERS

    generator, content = torch.Generator().manual_seed(0), {}
    for index, (out_channels, in_channels) in LAYERS.items():
        spread = (2 / (9 * in_channels)) ** 0.5  # keeps the size of what passes through
        weight = spread * torch.randn(out_channels, in_channels, 3, 3, generator=generator)
        content |= {f"features.{index}.weight": weight, f"features.{index}.bias": torch.zeros(out_channels)}
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")  # not longer: no event loop can be started beside Playwright's
def browser() -> Iterator[Browser]:
    """Chromium without a window; tests that need it are skipped where it is missing."""
    if CHROMIUM is None:
        pytest.skip("no chromium: install Debian's package of that name")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, timeout=PATIENCE)  # has no sandbox: root may
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a file; no page may write to the console or ask the network for anything."""
    complaints, requests, contexts = [], [], []

    def open_page(path: Path, mark: str = "", width: int = 1280, height: int = 900) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, is_mobile=width < 600)
        contexts.append(context)
        context.on("console", lambda message: complaints.append(message.text))
        context.on("weberror", lambda found: complaints.append(str(found.error)))
        context.on("request", lambda request: requests.append(request.url))
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(path.as_uri() + mark)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests and all(url.startswith("file://") for url in requests)
