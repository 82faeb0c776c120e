"""The tool that measures what radar adds."""

from pathlib import Path

import numpy as np
import pytest

from declouds.errors import UserError
from declouds.image_io import write_image

ROOT = Path(__file__).resolve().parents[1]
TINY = ["stages.0.iterations=1", "stages.0.param_scheduler=[]", "model.reference.width=4"]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import measure_radar

    return measure_radar


@pytest.fixture
def pairs(tmp_path):
    """Return a folder of three images, one of them clear and one half under cloud."""
    rng = np.random.default_rng(0)
    for name, rows in (("a", 0), ("b", 32), ("c", 64)):
        clear = rng.integers(1000, 3000, (13, 64, 64)).astype(np.uint16)
        cloudy = clear.copy()
        cloudy[:, :rows] += 5000
        layers = dict(cloudy=cloudy, label=clear, s1=rng.uniform(-20, -5, (2, 64, 64)).astype(np.float32))
        for folder, layer in layers.items():
            (tmp_path / "pairs" / folder).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "pairs" / folder / f"{name}.tif", layer)
    return tmp_path / "pairs"


def test_every_image_is_cleared_by_networks_that_have_not_seen_it(tool, pairs, capsys):
    out = pairs.parent / "out"
    tool.measure(pairs, out, 2, TINY)
    printed = capsys.readouterr().out
    assert "all images: 2" in printed and "cover above 50%: 1" in printed
    assert [line.split("  ")[0] for line in printed.splitlines()[-4:]] == [
        *("cloudy", "without radar", "with radar", "what radar adds")
    ]
    both = printed.splitlines()[-9:-5]
    assert ["mae 5000 [5000, 5000]" in line for line in both] == [True, False, False, False]
    for fold, seen in ((0, "b"), (1, "ac")):
        for of in ("with_radar", "without_radar"):
            assert (out / f"fold_{fold}" / of / "model.safetensors").exists()
        assert f'"train": {list(seen)}'.replace("'", '"') in (out / f"fold_{fold}" / "split.json").read_text()

    tool.measure(pairs, out, 2, TINY)  # trained already
    again = capsys.readouterr().out
    assert "stage" not in again and again.splitlines()[-4:] == printed.splitlines()[-4:]


def test_a_folder_of_other_folds_or_options_is_refused(tool, pairs):
    out = pairs.parent / "out"
    tool.measure(pairs, out, 2, TINY)
    with pytest.raises(UserError, match="other data"):
        tool.measure(pairs, out, 3, TINY)
    with pytest.raises(UserError, match="another config"):
        tool.measure(pairs, out, 2, [*TINY, "seed=1"])


def test_more_folds_than_images_are_refused(tool, pairs):
    with pytest.raises(UserError, match="--folds 4: there are 3 images: give 2 to 3"):
        tool.measure(pairs, pairs.parent / "out", 4, TINY)
    assert not (pairs.parent / "out").exists()
