"""Runs small enough for a test: one with a model, and some of figures alone."""

import json

import numpy as np
import pytest
from report_files import HOSTILE, read, write_log

MODEL = dict(
    type="DiffusionEnhancement",
    denoiser=dict(
        type="ConditionalUNet", base=8, multipliers=(1, 1), blocks=1, attention_at=(), heads=1, predicts="clear"
    ),
    reference=dict(type="Identity"),
    fusion=dict(type="FixedWeight", weight=0.9),
    noise_schedule=dict(type="LinearSchedule", num_steps=1000),
    sampler=dict(type="DDIM", steps=3),
)


@pytest.fixture(scope="session")
def measured_run(tmp_path_factory):
    """The folder of a run: config, weights, logs of two stages, and scores of three images, one of a hostile name."""
    import torch

    from declouds.evaluation.evaluate_model import evaluate_model
    from declouds.evaluation.protocols import PROTOCOLS
    from declouds.evaluation.tables import Evaluation, write_evaluation
    from declouds.image_io import write_image
    from declouds.registry import DATAMODULES, MODELS
    from declouds.weights.file import load_model, save_weights

    folder = tmp_path_factory.mktemp("runs") / "small"
    for name in ("cloud", "label"):
        (folder / "data" / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    names = ["1", "2", HOSTILE]
    for index, name in enumerate([*names, "trained on"]):
        clear = random.integers(20, 180, (3, 24, 32), dtype=np.uint8)
        write_image(folder / "data" / "label" / f"{name}.png", clear)
        write_image(folder / "data" / "cloud" / f"{name}.png", clear + np.uint8(15 * (index + 1)))
    (folder / "data" / "split.json").write_text(json.dumps({"train": ["trained on"], "test": names}))
    datamodule = dict(type="PairedFolder", root=str(folder / "data"), val=None)
    (folder / "config.py").write_text(f"model = {MODEL}\ndatamodule = {datamodule}\nstages = []\n")
    torch.manual_seed(0)
    state = {key: value + 0.05 * torch.randn_like(value) for key, value in MODELS.build(MODEL).state_dict().items()}
    save_weights(folder / "model.safetensors", MODEL, state, {})
    data = DATAMODULES.build(datamodule)
    data.setup("test")
    evaluation = Evaluation(
        protocols=dict(PROTOCOLS),
        methods=evaluate_model(load_model(folder / "model.safetensors"), data.test_dataset, variants=True, seed=5),
        split={"part": "test", **data.split_record()["test"]},
        about={
            "config": str(folder / "config.py"),
            "cfg_options": [],
            "checkpoint": str(folder / "model.safetensors"),
            "seed": 5,
            "tile": None,
        },
    )
    write_evaluation(evaluation, folder / "scores")
    write_log(folder / "0_coarse" / "20260101_000000", [(1, 0.9), (2, 0.5), (3, 0.4)], psnr=20.5)
    write_log(folder / "1_fine" / "20260101_010000", [(1, 0.3), (2, 0.2)])
    return folder


@pytest.fixture
def figures(tmp_path):
    """Return a function that writes scores of twelve images, better by some dB, and returns their folder."""
    from declouds.evaluation.tables import Evaluation, write_evaluation

    def write(name="plain", better=0.0, count=12, names=None):
        random = np.random.default_rng(1)
        psnr, left, blur = random.normal(28, 3, count), random.normal(0, 0.3, count), random.normal(0.1, 0.2, count)
        psnr[3], left[4] = np.inf, np.nan
        names = names or [f"image{index}" for index in range(count)]

        def rows(more):
            return [
                {
                    "name": names[index],
                    "official.psnr": psnr[index] + more,
                    "standard.mae": 0.1 - 0.005 * index,
                    "standard.mae.band1": 0.01 * index,
                    "signature.cloud_left": left[index],
                    "signature.blur": blur[index],
                    "image.cover": index / count,
                    "image.change": float("nan"),
                }
                for index in range(count)
            ]

        methods = {"prior": rows(-1.0), "DE": rows(better)}
        evaluation = Evaluation(
            {"official": "8-bit", "standard": "floats"}, methods, {"part": "test"}, about={"seed": 1}
        )
        write_evaluation(evaluation, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Return a function that runs the command and gives the folder and what its page reads."""
    from declouds import cli

    monkeypatch.setattr(cli, "COMMANDS", ("report",))

    def write(*arguments, out="report"):
        cli.main(["report", *map(str, arguments), "--out", str(tmp_path / out), "--device", "cpu"])
        return tmp_path / out, read(tmp_path / out)

    return write
