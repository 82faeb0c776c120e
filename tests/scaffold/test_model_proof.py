"""A model of a plugin, with parts that this package does not know, goes through every command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from safetensors.torch import load_file

from declouds.scaffold.plugin import write_plugin

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["stages.0.iterations=2", "stages.1.iterations=40", "checkpoint_interval=1", "model.sampler.steps=2"]
SHORT += ["datamodule.size=32", "datamodule.train=2", "datamodule.val=1", "datamodule.test=2"]
SHORT += ["val.images=1", "val.panels=0", "stages.0.crop=16", "stages.1.crop=16"]

COMMANDS = "import json, sys; from declouds.cli import main; [main(words) for words in json.loads(sys.argv[1])]"

SWEEP = """
base = "{config}"
overrides = {overrides}
axes = {{"sampler": dict(two=dict(type="DDIM", steps=2), three=dict(type="DDIM", steps=3))}}
variants = ["cloudy", "draft"]
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Return the folder of the plugin, and a function that starts commands where it is installed."""
    folder = tmp_path_factory.mktemp("proof")
    source = write_plugin("model", "my_model", folder)
    metadata = source / "src" / "my_model-0.1.0.dist-info"  # what pip writes
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-model\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[declouds.plugins]\nmy_model = my_model\n")
    paths = os.pathsep.join(map(str, (ROOT, source / "src")))
    environment = dict(os.environ, PYTHONPATH=paths, OMP_NUM_THREADS="1", DECLOUDS_OFFLINE="1")

    def start(*commands):
        words = json.dumps([[str(word) for word in command] for command in commands])
        return subprocess.Popen(
            [sys.executable, "-c", COMMANDS, words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return folder, start


@pytest.fixture(scope="module")
def run(plugin):
    """Return a function that runs commands to their end and returns what they print."""

    def run(*commands):
        process = plugin[1](*commands)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    return run


CONFIG = "my_model/configs/my_model.py"


@pytest.fixture(scope="module")
def weights(plugin, run):
    """The weights of an unbroken run."""
    run(["train", CONFIG, "--work-dir", "run", "--cfg-options", *SHORT])
    return plugin[0] / "run" / "model.safetensors"


def test_it_is_trained_in_two_stages(weights):
    assert {key.split(".")[0] for key in load_file(weights)} == {"draft", "refiner"}
    stages = json.loads((weights.parent / "run.json").read_text())["stages"]
    assert [(stage["name"], stage["status"]) for stage in stages] == [("draft", "finished"), ("refiner", "finished")]


def test_a_killed_run_resumes_to_the_same_weights(plugin, run, weights):
    folder, start = plugin
    train = ("train", CONFIG, "--work-dir", "killed", "--cfg-options", *SHORT)
    process = start(train)
    while not list(folder.glob("killed/1_refiner/*.pth")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (folder / "killed" / "model.safetensors").exists()
    run([*train, "--resume"])
    resumed, unbroken = load_file(folder / "killed" / "model.safetensors"), load_file(weights)
    assert resumed.keys() == unbroken.keys()
    assert all((resumed[key] == unbroken[key]).all() for key in unbroken)


def test_it_is_evaluated_with_its_variants_and_reported(plugin, run, weights):
    out = plugin[0] / "run" / "scores"
    run(
        ["test", CONFIG, weights, "--variants", "--out", "run/scores", "--cfg-options", *SHORT],
        ["test", CONFIG, weights, "--tile", "24", "--out", "tiled", "--cfg-options", *SHORT],
        ["report", "run", "--out", "page"],
    )
    results = json.loads((out / "results.json").read_text())
    assert set(results["methods"]) == {"cloudy", "draft", "result"}
    tiled = json.loads((plugin[0] / "tiled" / "results.json").read_text())
    assert set(tiled["methods"]) == {"result"}
    assert tiled["methods"]["result"] != results["methods"]["result"]  # windows have other surroundings
    page = "".join(
        path.read_text() for path in (plugin[0] / "page").rglob("*") if path.suffix in (".html", ".js", ".json")
    )
    assert all(name in page for name in ("draft", "x_t"))


def test_two_values_are_swept(plugin, run):
    folder = plugin[0]
    overrides = {key: int(value) for key, value in (item.split("=") for item in SHORT) if "sampler" not in key}
    (folder / "sweep.py").write_text(SWEEP.format(config=CONFIG, overrides=overrides))
    run(["sweep", "sweep.py", "--out", "sweep"])
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("sweep/cells/*/scores/results.json"))]
    assert len(results) == 2
    assert all({"cloudy", "draft", "result"} <= set(one["methods"]) for one in results)


def test_it_clears_a_scene_jointly_and_comes_back_from_its_weights_file(plugin, run, weights):
    folder = plugin[0]
    scene = np.random.default_rng(0).integers(1, 255, (3, 40, 56), dtype=np.uint8)
    profile = dict(driver="GTiff", count=3, height=40, width=56, dtype="uint8")
    with rasterio.open(folder / "scene.tif", "w", **profile) as file:
        file.write(scene)
    windows = ("--checkpoint", weights, "--tile", "24", "--overlap", "8")
    run(
        ["predict", "scene.tif", "-o", "joint.tif", *windows],
        ["predict", "scene.tif", "-o", "final.tif", *windows, "--blend", "final"],
    )
    results = []
    for name in ("joint", "final"):
        with rasterio.open(folder / f"{name}.tif") as file:
            results.append(file.read())
    assert results[0].shape == results[1].shape == scene.shape
    assert not np.array_equal(*results)  # joint windows share every step, so it is another result
