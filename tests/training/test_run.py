"""A whole run, its resumption after a kill, and the same run on two processes."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

import declouds
from declouds.errors import UserError
from declouds.evaluation.tables import read_results
from declouds.training.checkpoint import checkpoints
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.stage_cost import costs_of_stages


def losses_of(work_dir):
    """Return (stage, iteration) -> loss, the last written one where a run was resumed."""
    found = {}
    for log in sorted(Path(work_dir).glob("*/*/vis_data/*.json")):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if "loss" in entry:
                found[log.relative_to(work_dir).parts[0], entry["step"]] = entry["loss"]
    return found


def train(config_path, work_dir, resume=False):
    return CoarseToFine(Config.fromfile(config_path), work_dir).run(resume)


def part(weights, name):
    return {key: value for key, value in weights.items() if key.startswith(name)}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def trained(write_tiny_config, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    return train(write_tiny_config(folder), folder / "run").parent


@pytest.fixture
def unbroken(trained, tmp_path):
    """Return the weights of a copy of an unbroken run."""
    return shutil.copytree(trained, tmp_path / "unbroken") / "model.safetensors"


def test_a_run_trains_every_stage_and_ends_in_a_model_that_loads(unbroken, tmp_path):
    model = declouds.load_model(unbroken)
    cloudy, noise = torch.zeros(1, 3, 20, 28), torch.randn(1, 3, 20, 28)
    assert model.predict(cloudy, noise).shape == (1, 3, 20, 28)
    assert model.record["splits"]["train"]["count"] == 6
    assert model.record["units"] == dict(scale=1, offset=0)
    stages = {folder.name for folder in (tmp_path / "unbroken").iterdir() if folder.is_dir()}
    assert stages == {"0_reference", "1_coarse", "2_fusion", "3_fine"}
    assert {key[0] for key in losses_of(tmp_path / "unbroken")} == stages


def test_frozen_parts_stay_bit_identical_and_trained_ones_change(unbroken, tmp_path):
    outcome = {
        name: torch.load(tmp_path / "unbroken" / name / "finished.pth", weights_only=True)
        for name in ("0_reference", "1_coarse", "2_fusion", "3_fine")
    }
    trained = {name: {key.split(".")[0] for key in content["raw"]} for name, content in outcome.items()}
    assert list(trained.values()) == [{"reference"}, {"denoiser"}, {"fusion"}, {"denoiser", "fusion"}]
    fusion, fine = outcome["2_fusion"], outcome["3_fine"]
    assert equal(part(load_file(unbroken), "reference"), outcome["0_reference"]["average"])
    assert equal(part(load_file(unbroken), "fusion"), part(fine["average"], "fusion"))
    assert not equal(part(fine["raw"], "fusion"), fusion["raw"])
    assert not equal(part(fine["raw"], "fusion"), part(fine["average"], "fusion"))


def test_only_the_named_parts_change_within_a_stage(unbroken, tmp_path):
    first, last = (
        torch.load(path, weights_only=True)["model"] for path in checkpoints(tmp_path / "unbroken" / "3_fine")
    )
    assert equal(part(first, "reference"), part(last, "reference"))
    assert not equal(part(first, "denoiser"), part(last, "denoiser"))
    assert not equal(part(first, "fusion"), part(last, "fusion"))


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_run_equals_the_unbroken_one(unbroken, tiny_config, train_process, tmp_path, workers):
    config, work_dir = tiny_config(workers), tmp_path / "killed"
    process = train_process(config, "--work-dir", work_dir)
    deadline = time.time() + 120
    while not (work_dir / "1_coarse" / "iter_2.pth").exists():
        assert process.poll() is None and time.time() < deadline, process.stdout.read()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (work_dir / "model.safetensors").exists()
    resumed = train(config, work_dir, resume=True)
    assert multiprocessing.active_children() == []  # the loaders' workers have ended with their stages
    assert equal(load_file(resumed), load_file(unbroken))
    assert losses_of(work_dir) == losses_of(tmp_path / "unbroken")


def test_two_processes_share_the_data_and_agree_on_the_evaluation(tiny_config, train_process, tmp_path):
    config = tiny_config()
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = train_process(config, "--work-dir", tmp_path / "two", launcher=torchrun)
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    # Evaluated by one process, the weights that two have trained score the same, image by image, none twice.
    recorded = read_results(tmp_path / "two" / "3_fine" / "evaluation" / "results.json")["result"]
    assert len({row["name"] for row in recorded}) == len(recorded) == 3
    assert not list((tmp_path / "two").glob("*/collected"))
    alone = evaluate_alone(config, tmp_path / "two" / "model.safetensors")
    for row in recorded:
        assert row["official.psnr"] == pytest.approx(alone[row["name"]], abs=1e-4)


def evaluate_alone(config, weights):
    from declouds.evaluation.protocols import measure
    from declouds.registry import DATAMODULES
    from declouds.scenes.sampling.noise import noise_seed
    from declouds.scenes.sampling.tiled import clear_image
    from declouds.scenes.sampling.tiles import Tiling

    datamodule = DATAMODULES.build(Config.fromfile(config).datamodule)
    datamodule.setup("fit")
    model = declouds.load_model(weights)
    scores = {}
    for sample in (datamodule.val_dataset[index] for index in range(3)):
        result = clear_image(model, sample["cloudy"], noise_seed(sample["name"], 3), Tiling(24, 8))
        scores[sample["name"]] = measure(result, sample["clear"], ["official"], None, None)["official.psnr"]
    return scores


def test_dry_run_tells_the_cost_and_leaves_nothing(tiny_config, tmp_path):
    work_dir = tmp_path / "dry"
    costs = costs_of_stages(CoarseToFine(Config.fromfile(tiny_config()), work_dir))
    assert [cost.iterations for cost in costs] == [4, 6, 3, 5]
    assert [cost.images for cost in costs] == [8, 24, 6, 10]
    assert all(cost.seconds > 0 and cost.memory > 2**20 for cost in costs)
    assert not work_dir.exists()


def test_a_run_without_validation_images(tiny_config, tmp_path):
    target = train(tiny_config(extra='datamodule["val"] = 0\n'), tmp_path / "unseen")
    assert declouds.load_model(target).record["splits"].keys() == {"train"}
    assert not list((tmp_path / "unseen").glob("*/evaluation"))


def test_the_published_weights_are_those_that_the_last_stage_was_evaluated_with(tiny_config, tmp_path):
    config = tiny_config(extra='stages = [*stages[:3], dict(stages[3], train=["fusion"], start_from="raw")]\n')
    target = train(config, tmp_path / "raw")
    rows = read_results(tmp_path / "raw" / "3_fine" / "evaluation" / "results.json")["result"]
    alone = evaluate_alone(config, target)
    assert {row["name"]: pytest.approx(row["official.psnr"], abs=1e-4) for row in rows} == alone


def test_a_stage_that_recomputes_its_activations_ends_in_the_same_weights(unbroken, tiny_config, tmp_path):
    recomputing = tiny_config(extra="for stage in stages:\n    stage['recompute'] = True\n")
    weights, expected = load_file(train(recomputing, tmp_path / "recomputed")), load_file(unbroken)
    assert all(torch.allclose(weights[key], expected[key], atol=1e-6) for key in expected)


def test_a_run_killed_before_its_last_evaluation_makes_it_up(unbroken, tiny_config, tmp_path):
    finished, last = (tmp_path / "unbroken" / "1_coarse" / name for name in ("finished.pth", "iter_6.pth"))
    assert last.exists()
    results = tmp_path / "unbroken" / "1_coarse" / "evaluation" / "results.json"
    before = read_results(results)
    finished.unlink()
    results.unlink()
    train(tiny_config(), tmp_path / "unbroken", resume=True)
    assert read_results(results) == before


def test_given_weights_are_recorded_and_must_be_of_like_data_and_diffusion(unbroken, tiny_config, tmp_path):
    extra = f'denoiser_weights = "{unbroken}"\nstages = [stages[0], stages[2]]\n'
    record = declouds.load_model(train(tiny_config(extra=extra), tmp_path / "given")).record
    assert [stage["name"] for stage in record["stages"]] == ["reference", "fusion"]
    assert record["given"]["denoiser"]["file"] == str(unbroken)
    assert len(record["given"]["denoiser"]["sha256"]) == 64
    for change, message in (
        ('model["noise_schedule"] = dict(type="CosineSchedule")\n', "noise_schedule: LinearSchedule, not CosineSch"),
        ('model["value_range"] = (0, 10000)\n', r"value_range=\[0.0, 255.0\], not"),
    ):
        with pytest.raises(UserError, match=f"its denoiser differs from the config .*{message}"):
            train(tiny_config(extra=extra + change), tmp_path / "other")


@pytest.mark.parametrize(("name", "stage"), [("reference", "0_reference"), ("denoiser", "1_coarse")])
def test_weights_from_a_file_skip_the_stages_of_that_part_alone(unbroken, tiny_config, tmp_path, name, stage):
    config = tiny_config(extra=f'{name}_weights = "{unbroken}"\nstages = stages[:3]\n')
    target = train(config, tmp_path / "given")
    assert not (tmp_path / "given" / stage).exists()
    assert equal(part(load_file(target), name), part(load_file(unbroken), name))


def test_a_run_is_neither_overwritten_nor_resumed_with_another_config(unbroken, tiny_config, tmp_path):
    with pytest.raises(UserError, match="continue with --resume, or give another --work-dir"):
        train(tiny_config(), tmp_path / "unbroken")
    with pytest.raises(UserError, match="another config \\(ema changed"):
        train(tiny_config(extra="ema = dict(decay=0.5)\n"), tmp_path / "unbroken", resume=True)


def test_a_truncated_checkpoint_is_named(unbroken, tiny_config, tmp_path):
    finished = tmp_path / "unbroken" / "3_fine" / "finished.pth"
    finished.write_bytes(finished.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"finished\.pth is not a readable checkpoint"):
        train(tiny_config(), tmp_path / "unbroken", resume=True)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('reference_weights = "absent.safetensors"\n', "absent.safetensors does not exist"),
        ("stages = stages[1:]\n", "the reference has no weights: set reference_weights"),
        (
            "stages = stages[:2]\n",
            r"the fusion has no weights: set fusion_weights .* add an earlier stage with train=\['fusion'\]",
        ),
        ("stages = [*stages[:1], *stages[2:]]\n", "stage fusion: the denoiser has no weights"),
        ('stages[0]["iteration"] = 3\n', "unknown key 'iteration': did you mean 'iterations'"),
        ('stages[0]["recompute"] = 1\n', "stage reference: recompute must be True or False, got 1"),
        ('model["fusion"]["type"] = "WeightAlocation"\n', "did you mean 'WeightAllocation'"),
        ('model["denoiser"]["bass"] = 3\n', "denoiser ConditionalUNet cannot be built.*bass"),
        ('model["bands"] = 4\n', "the model has bands=4, but the data have 3"),
        ('model["in_bands"] = 5\n', "the model has in_bands=5, but the data have 3"),
        ("reference_weights = 5\n", "reference_weights=5: give a weights file"),
        (
            'model["reference"] = dict(type="Identity")\nreference_weights = "x"\n',
            "the model has no reference with weights",
        ),
        ('stages[3]["optimizer"] = dict(type="Adamm")\n', "stage fine: .*Adamm"),
        ('stages[3]["param_scheduler"] = [dict(type="CosineLR")]\n', "stage fine: .*CosineLR"),
        ('stages[2]["lr"] = "fast"\n', "stage fusion: lr must be a positive number"),
        ('stages[1]["crop"] = 64\n', "is smaller than the patch of 64"),
        ('stages[1]["augmentations"] = ["RandomFlop"]\n', "kornia.augmentation has no 'RandomFlop'"),
    ],
)
def test_bad_configs_are_named_before_training(tiny_config, tmp_path, extra, message):
    with pytest.raises(UserError, match=message):
        train(tiny_config(extra=extra), tmp_path / "bad")
    assert not list(tmp_path.glob("bad/*/iter_*.pth"))


def test_a_loss_that_is_no_number_stops_the_run(tiny_config, tmp_path):
    config = tiny_config(extra="stages = [dict(stages[0], lr=1e30, iterations=30), *stages[1:]]\n")
    with pytest.raises(UserError, match="non-finite loss at iteration"):
        train(config, tmp_path / "diverged")


def test_whole_images_of_several_sizes_are_refused_before_training(tiny_config, tmp_path):
    import numpy as np

    from declouds.image_io import write_image

    for part, sizes in (("train", (32, 48, 32)), ("test", (32,))):
        for side in ("cloud", "label"):
            (tmp_path / "data" / part / side).mkdir(parents=True)
            for number, size in enumerate(sizes):
                pixels = np.full((3, size, 32), 40 * number, np.uint8)
                write_image(tmp_path / "data" / part / side / f"{part}{number}.png", pixels)
    data = f"datamodule = dict(type='PairedFolder', root={str(tmp_path / 'data')!r}, split='folders', val=None)\n"
    with pytest.raises(UserError, match=r"stage fine: images of several sizes .*: set crop, or batch_size=1"):
        train(tiny_config(extra=data), tmp_path / "bad")
