"""`declouds weights verify`: published weights measured again."""

import hashlib

import numpy as np
import pytest

from declouds.cli import main
from declouds.datamodules.splits import digest
from declouds.evaluation.official import measure_official
from declouds.image_io import read_image, write_image
from declouds.weights.zoo import Expected

SIZE = 16


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for side in ("cloud", "label"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for name in "123":
            write_image(tmp_path / "data" / side / f"{name}.png", random.integers(0, 256, (3, SIZE, SIZE), np.uint8))
    return tmp_path / "data"


@pytest.fixture
def publish(one_entry, data):
    """A function that publishes weights with scores, those that they really have but for ``changes``."""

    def publish(**changes):
        import torch

        import declouds

        one_entry()
        model = declouds.load_model("tiny")
        split = ("3", "1")
        values, pixels = [], hashlib.sha256()
        for name in split:
            cloudy, clear = (read_image(data / side / f"{name}.png") for side in ("cloud", "label"))
            for image in (cloudy, clear):
                pixels.update(image.tobytes())
            cloudy, clear = (torch.from_numpy(image / np.float32(127.5) - 1) for image in (cloudy, clear))
            values.append(measure_official(model.predict(cloudy[None])[0], clear))
        scores = {metric: float(np.mean([value[metric] for value in values])) for metric in ("psnr", "ssim")}
        facts = dict(
            data_set="squares",
            size=SIZE,
            split=split,
            split_digest=digest(split),
            pixels_digest=pixels.hexdigest(),
            protocol="official",
            scores=scores,
            tolerances=dict(psnr=0.02, ssim=0.0005),
            remark="",
        )
        one_entry(expected=Expected(**(facts | changes)))
        return scores

    return publish


def verify(data, *more):
    """Run it and return its exit code."""
    try:
        main(["weights", "verify", "tiny", str(data), "--device", "cpu", *map(str, more)])
    except SystemExit as ended:
        return ended.code
    return 0


def test_weights_that_score_as_published(publish, data, capsys):
    scores = publish()
    assert verify(data) == 0
    text = capsys.readouterr().out
    assert f"{scores['psnr']:.4f}" in text and text.strip().endswith("pass")
    assert "2 images of squares" in text and "other pixels" not in text


def test_weights_that_score_otherwise(publish, data, capsys):
    scores = publish()
    publish(scores=dict(psnr=scores["psnr"] + 0.03, ssim=scores["ssim"]), pixels_digest="0" * 64)
    assert verify(data) == 1
    text = capsys.readouterr().out
    assert text.strip().endswith("FAIL") and text.count("FAIL") == 2
    assert "but their pixels differ from those of the expected scores" in text


def test_data_that_do_not_fit(publish, data, capsys, tmp_path, one_entry):
    publish(split=("3", "7"))
    assert verify(data) == 2
    assert "images that do not exist: 7" in capsys.readouterr().err
    assert verify(tmp_path / "absent") == 2
    assert "no such folder" in capsys.readouterr().err
    publish(size=256)
    assert verify(data) == 2
    message = capsys.readouterr().err
    assert "3.png is 3 x 16 x 16, but the scores are for 3 x 256 x 256" in message
    publish()
    assert verify(data, "--from", data / "cloud" / "1.png") == 2
    assert "is not the official file of tiny" in capsys.readouterr().err


def test_an_opacity_band_is_left_out(publish, data, capsys):
    publish()
    for path in data.rglob("*.png"):
        opaque = np.concatenate([read_image(path), np.full((1, SIZE, SIZE), 255, np.uint8)])
        write_image(path, opaque, overwrite=True)
    assert verify(data) == 0
    assert "other pixels" not in capsys.readouterr().out
