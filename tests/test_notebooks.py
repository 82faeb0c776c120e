"""The notebooks of the documentation, executed with settings that take seconds."""

from pathlib import Path

import pytest

from declouds.image_io import read_image, write_image
from declouds.models import build_model
from declouds.weights.file import save_weights

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "your_scene": "",
    "your_area": """
import declouds.adaptation.plan as planning

planning._timed = lambda config, folder: [6000.0 for _ in config["stages"]]  # so that iterations are few
minutes, start, clear_image = 600, "tiny.safetensors", "clear.png"
""",
    "your_fusion": """
changes = [f"stages.{number}.iterations=1" for number in range(5)]
changes += [f"datamodule.{name}=2" for name in ("train", "val", "test")] + ["datamodule.size=32", "val.images=1"]
changes += [f"stages.{number}.crop=8" for number in range(5)] + ["num_workers=0", "model.sampler.steps=2"]
""",
}


def text_of(notebook):
    """Return what the cells have printed and shown."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Return a function that executes a notebook, with ``text`` behind its parameters, in a folder of its own."""
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def execute(name):
        notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", 4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells), "is kept without outputs"
        (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
        parameters.source = parameters.source.replace("../..", str(ROOT)) + "\n" + SMALL[name]
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=900, startup_timeout=300, resources=resources).execute()
        return text_of(notebook)

    return execute


def test_each_notebook_has_its_settings_here():
    assert {path.stem for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")} == set(SMALL)


def test_your_scene(execute, tmp_path):
    shown = execute("your_scene")
    assert "% of the pixels were changed" in shown and "<iframe srcdoc" in shown and "dask" in shown
    assert (tmp_path / "cleared.tif").stat().st_size > 10_000


def test_your_area(execute, tmp_path):
    blocks = dict(width=4, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
    tiny = dict(type="OnePass", reference=dict(type="NAFNet", **blocks), value_range=(0.0, 255.0))
    tiny |= dict(bands=3, band_names=["red", "green", "blue"])
    stages = [dict(name="reference", train=["reference"], losses=[dict(type="L1")])]
    write_image(tmp_path / "clear.png", read_image(ROOT / "tools/demo_images/aerial.jpg")[:, :128, :640])
    save_weights(tmp_path / "tiny.safetensors", tiny, build_model(tiny).state_dict(), dict(stages=stages))
    shown = execute("your_area")
    assert "paired by window" in shown and "cleared " in shown and (tmp_path / "my_area.safetensors").exists()


def test_your_fusion(execute, tmp_path):
    shown = execute("your_fusion")
    assert "DE - prior" in shown and "image/png" in shown
    assert (tmp_path / "my_fusion" / "model.safetensors").exists()
