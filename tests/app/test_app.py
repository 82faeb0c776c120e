import json
import os
import signal
import socket
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
from playwright.sync_api import expect

import declouds
from declouds.cli import main
from declouds.commands import app
from declouds.errors import UserError

pytest.importorskip("gradio")
from declouds.app.server import serving

BAHAMAS = Path(__file__).parents[2] / "tools" / "demo_images" / "bahamas.tif"
NAME = "<img src=x onerror=document.title='taken'>"
MOST = 2**20  # bytes of an upload


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served():
    """Address and folder of a page."""
    before = set(Path(tempfile.gettempdir()).glob("declouds_app_*"))
    with serving(port=free_port(), most_bytes=MOST) as address:
        yield address, Path(os.environ["GRADIO_TEMP_DIR"])
    assert set(Path(tempfile.gettempdir()).glob("declouds_app_*")) == before


@pytest.fixture
def scene(tmp_path):
    """A corner of a real scene, with a fourth band whose name is a piece of a page."""
    with rasterio.open(BAHAMAS) as file:  # from its first row and column on, so on its grid
        values, profile = file.read(window=rasterio.windows.Window(0, 0, 200, 150)), file.profile
    path = tmp_path / f"{NAME} of the Bahamas.tif"
    with rasterio.open(path, "w", **profile | dict(height=150, width=200, count=4, photometric="minisblack")) as file:
        file.write(np.concatenate([values, values[:1]]))
        file.descriptions = ("red", "green", "blue", NAME)
    return path


def test_a_scene_is_cleared_on_the_page(browser, served, scene, tmp_path):
    address, folder = served
    context, requests = browser.new_context(), []
    context.on("request", lambda request: requests.append(request.url))
    page = context.new_page()
    page.goto(address)
    start = page.get_by_role("button", name="Remove the clouds")
    start.click()
    expect(page.get_by_text("no scene yet: drop a GeoTIFF or a picture on the page first")).to_be_visible()

    page.locator("input[type=file]").first.set_input_files(scene)
    page.get_by_label("Maps of quality").check()
    expect(page.get_by_text("Samples for the spread")).to_be_visible()
    start.click()
    facts = page.locator(".facts")
    expect(facts).to_contain_text("200 x 150 pixels")
    expect(facts).to_contain_text(f"{NAME} left as they are")
    for picture in ("before", "after"):
        expect(page.locator(f"img[src*='{picture}.png']").first).to_have_js_property("naturalWidth", 200)
    page.get_by_role("tab", name="Quality").click()
    expect(page.get_by_text("changed: 0 to 1")).to_be_visible()
    expect(page.locator("figure img").last).to_have_js_property("naturalWidth", 200)
    expect(page).to_have_title("declouds")

    with page.expect_download() as download:
        page.locator("a[download$='_clear.tif']").click()
    download.value.save_as(tmp_path / "page.tif")
    assert not list(folder.rglob("*.partial"))
    declouds.remove_clouds(scene, output=tmp_path / "python.tif", quality=True)
    with rasterio.open(tmp_path / "page.tif") as one, rasterio.open(tmp_path / "python.tif") as other:
        assert one.profile == other.profile
        assert (one.read() == other.read()).all() and (one.read() != rasterio.open(scene).read()).any()

    requests = [url for url in requests if not url.startswith("blob:")]
    assert requests and all(url.startswith(address) for url in requests)
    context.close()
    for _ in range(600):
        if not any(folder.iterdir()):
            break
        threading.Event().wait(0.1)
    assert not any(folder.iterdir())


def answer(address, path, data=None, **headers):
    """Return status and text of what the server answers."""
    request = urllib.request.Request(f"{address}{path}", data, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def upload(address, name, content):
    """Send a file, and return status and answer."""
    field = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = field.encode() + content + b"\r\n--x--\r\n"
    return answer(address, "gradio_api/upload", body, **{"Content-Type": "multipart/form-data; boundary=x"})


def ask(address, path):
    """Ask for a scene to be cleared as a program may, and return what is answered."""
    api = f"{address}gradio_api"
    with urllib.request.urlopen(f"{api}/info") as response:
        parameters = json.load(response)["named_endpoints"]["/clear"]["parameters"]
    scene = dict(path=path, meta=dict(_type="gradio.FileData"))
    labels = {"Scene: GeoTIFF, JPEG 2000, PNG or JPEG": scene}
    data = [labels.get(one["label"], one.get("parameter_default")) for one in parameters]
    asked, kind = json.dumps(dict(data=data)).encode(), {"Content-Type": "application/json"}
    status, text = answer(address, "gradio_api/call/clear", asked, **kind)
    assert status == 200
    with urllib.request.urlopen(f"{api}/call/clear/{json.loads(text)['event_id']}") as stream:
        return stream.read().decode()


def test_no_file_of_the_machine_is_served(served, tmp_path):
    address, folder = served
    own = tmp_path / "own.tif"
    own.write_bytes(BAHAMAS.read_bytes())
    for path in (own, "/etc/passwd", f"{folder}/../../etc/passwd", "http://127.0.0.1/x", "https://example.org/x"):
        assert answer(address, f"gradio_api/file={path}")[0] == 403
        assert "event: error" in ask(address, str(path))
    status, path = upload(address, "../../../../x.tif", own.read_bytes())
    path = Path(json.loads(path)[0])
    assert status == 200 and path.parent.parent == folder and path.name == "x.tif"
    answered = ask(address, str(path))
    assert "event: complete" in answered and "x_clear.tif" in answered


def test_another_web_page_and_large_uploads_are_refused(served):
    address, folder = served
    before = set(folder.rglob("*"))
    for header in ({"Host": "example.org"}, {"Origin": "http://example.org"}, {"Origin": "null"}, {"Host": "["}):
        assert answer(address, "config", **header)[0] == 403
    for length, status in ((f"Content-Length: {MOST + 1}", 413), ("Transfer-Encoding: chunked", 411)):
        with socket.create_connection(urlsplit(address).netloc.split(":")) as connection:
            connection.sendall(f"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
            assert connection.recv(4096).startswith(f"HTTP/1.1 {status}".encode())  # before the body is sent
    assert set(folder.rglob("*")) == before


def test_what_the_page_cannot_be_served_with(served, tmp_path, monkeypatch):
    address = served[0]
    port = urlsplit(address).port
    for given, message in (
        (
            dict(port=port),
            f"port {port} cannot be used \\(Address already in use\\): give another one \\(--port 7860\\)",
        ),
        (dict(device="tpu"), "tpu"),
        (dict(port=70000), "port 70000: give a number from 1 to 65535"),
        (dict(checkpoints=[str(tmp_path / "no.safetensors")]), "no.safetensors"),
    ):
        with pytest.raises(UserError, match=message), serving(**given):
            pass
    monkeypatch.setitem(sys.modules, "gradio.themes", None)
    with pytest.raises(UserError, match=r'pip install "declouds\[app\]"'), serving(port=free_port()):
        pass


def test_ctrl_c_ends_the_command(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(app, "_wait", interrupt)
    main(["app", "--port", str(free_port())])
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")
