"""Many scenes at a time: processes of this machine, or of a cluster that loses a node."""

import importlib.util
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import declouds
from declouds.cli import main
from declouds.experiments.engines.ray_engine import RayEngine
from declouds.experiments.many_scenes import clear_scenes, flags_of
from declouds.models import build_model
from declouds.weights.file import save_weights

ROOT = Path(__file__).resolve().parents[2]
SIZE = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
DE = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **SIZE),
    reference=dict(type="GainOffsetUNet", **SIZE),
    fusion=dict(type="WeightAllocation", **SIZE),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=4),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with weights, in which commands run."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for name, config in (("de", DE), ("identity", dict(type="OnePass", reference=dict(type="Identity"), bands=3))):
        save_weights(tmp_path / f"{name}.safetensors", config, build_model(config).state_dict(), {})
    (tmp_path / "in").mkdir()
    return tmp_path


def write_scene(path, side, seed=0):
    pixels = np.random.default_rng(seed).integers(1, 255, (3, side, side), dtype=np.uint8)
    with rasterio.open(path, "w", driver="GTiff", count=3, height=side, width=side, dtype="uint8") as file:
        file.write(pixels)
    return pixels


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def test_scenes_side_by_side_one_of_which_is_broken(folder, capfd, caplog):
    pixels = {name: write_scene(folder / "in" / f"{name}.tif", 40, seed) for seed, name in enumerate("ab")}
    (folder / "in" / "broken.tif").write_bytes(b"II*\0")
    command = ["predict", "in", "-o", "out", "--checkpoint", "identity.safetensors", "--engine", "local", "--jobs", "2"]
    with caplog.at_level(logging.ERROR, "declouds"), pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
    printed = capfd.readouterr().err
    assert "1 of 3 scenes were not cleared: in/broken.tif" in printed
    assert "3 scenes: 2 finished, 1 failed" in printed
    assert caplog.text.count("in/broken.tif: ") == 1 and "out/.declouds/broken.tif/log.txt" in caplog.text
    assert all(np.array_equal(read(folder / "out" / f"{name}.tif"), value) for name, value in pixels.items())
    assert [path.name for path in (folder / "out" / ".declouds").iterdir()] == ["broken.tif"]

    # The same command goes on with what is missing.
    (folder / "in" / "broken.tif").unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*.tif")}
    pixels["broken"] = write_scene(folder / "in" / "broken.tif", 40, 7)
    main(command)
    assert "3 scenes: 1 finished, 2 skipped" in capfd.readouterr().err
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert np.array_equal(read(folder / "out" / "broken.tif"), pixels["broken"])
    assert not (folder / "out" / ".declouds").exists()


def scenes_on(raylet):
    """Return process -> scene, of what a node of the cluster clears."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            node = f"RAY_RAYLET_PID={raylet}".encode() in (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if node and b"predict" in words:
            found[int(path.name)] = Path(words[words.index(b"predict") + 1].decode())
    return found


def test_a_node_that_is_lost_loses_no_scene(folder, capfd):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed")
    small = {"object_store_memory": 80 * 2**20}
    engine = RayEngine(1)  # sets what Ray reads when it is imported
    from ray.cluster_utils import Cluster

    pixels = {name: write_scene(folder / "in" / f"{name}.tif", 150, seed) for seed, name in enumerate("ab")}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **small})
    try:
        node = cluster.add_node(num_cpus=1, **small)
        raylet = node.all_processes["raylet"][0].process.pid
        engine, killed = RayEngine(2, cluster.address), []

        class Killing:
            """Removes the node once the scene that it clears has finished rows."""

            def __init__(self, watch):
                self.started, self.ended, self.watch = watch.started, watch.ended, watch

            def tick(self):
                self.watch.tick()
                for process, scene in {} if killed else scenes_on(raylet).items():
                    if list((folder / "out" / f".{scene.stem}.tif.partial").glob("pass*.json")):
                        killed.append(process)
                        cluster.remove_node(node, allow_graceful=False)

        class Engine:
            def run(self, folders, command, watch):
                engine.run(folders, command, Killing(watch))

        (folder / "out").mkdir()
        scenes = [(folder / "in" / f"{name}.tif", folder / "out" / f"{name}.tif") for name in pixels]
        flags = flags_of(dict(checkpoint=folder / "de.safetensors", tile=32, overlap=16, device="cpu"))
        assert clear_scenes(Engine(), scenes, flags, 2) == {}
    finally:
        cluster.shutdown()
    assert len(killed) == 1 and not Path(f"/proc/{killed[0]}").exists()
    model = declouds.load_model(folder / "de.safetensors")
    torch.set_num_threads(1)
    for name, value in pixels.items():
        expected = declouds.remove_clouds(value, model, tile=32, overlap=16)
        np.testing.assert_array_equal(read(folder / "out" / f"{name}.tif"), expected)
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.json", "a.tif", "b.json", "b.tif"]


def test_what_was_finished_before_its_node_was_lost_is_not_done_again(tmp_path):
    commands = []

    class Engine:
        def run(self, folders, command, watch):
            for folder in folders:
                watch.started(folder)
                commands.append(command(folder))  # lost in the middle
                commands.append(command(folder))
                (tmp_path / folder.name).write_text("cleared")  # lost at the end
                commands.append(command(folder))
                watch.ended(folder, 0, "")

    scenes = [(Path("a.tif"), tmp_path / "a.tif")]
    assert clear_scenes(Engine(), scenes, ["--restart", "--cog"], 1) == {}
    first, second, third = (words[1:] for words in commands)
    assert first == ["-m", "declouds", "predict", "a.tif", "-o", str(tmp_path / "a.tif"), "--restart", "--cog"]
    assert second == [word for word in first if word != "--restart"]
    assert third == ["-c", ""]
    assert clear_scenes(Engine(), scenes, [], 1) == {} and len(commands) == 3  # its result is there


def test_choices_are_written_as_flags():
    choices = dict(mask_values=[1, 2], cog=True, preview=False, scale=None, offset=-1e-05, bands="B4,B3")
    assert flags_of(choices) == ["--mask-values=1,2", "--cog", "--offset=-1e-05", "--bands=B4,B3"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["in/a.tif", "-o", "out.tif"], "--engine is for several scenes: give a folder of scenes, or omit it"),
        (["in", "-o", "out", "--jobs", "0"], "--jobs 0"),
        (["in", "-o", "out", "--checkpoint", "absent.safetensors"], "absent.safetensors does not exist"),
    ],
)
def test_wrong_commands_start_nothing(folder, capfd, more, message):
    write_scene(folder / "in" / "a.tif", 8)
    with pytest.raises(SystemExit):
        main(["predict", "--checkpoint", "identity.safetensors", "--engine", "local", *more])
    assert message in capfd.readouterr().err
    assert not list(folder.glob("out*/*"))


def test_no_cluster_is_one_line(folder, capfd):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed")
    write_scene(folder / "in" / "a.tif", 8)
    with pytest.raises(SystemExit):
        main(["predict", "in", "-o", "out", "--checkpoint", "identity.safetensors", "--engine", "ray",
              "--ray-address", "127.0.0.1:1"])  # fmt: skip
    assert "no Ray cluster at 127.0.0.1:1: " in capfd.readouterr().err
