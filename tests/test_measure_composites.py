"""The tool that measures composites on pairs with other dates."""

from pathlib import Path

import numpy as np
import pytest

from declouds.errors import UserError
from declouds.image_io import write_image

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import measure_composites

    return measure_composites


@pytest.fixture
def pair(tmp_path):
    """Return a data set of one pair whose dates lie 100 below, 300 above and 100 below the truth."""
    clear = np.random.default_rng(0).integers(1000, 3000, (13, 64, 64)).astype(np.uint16)
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[:, :32] = 1
    layers = dict(cloud=np.where(mask, 9000, clear), label=clear, mask=mask)
    layers |= dict(before=clear - 100, after=clear + 300, earlier=clear - 100)
    for name, layer in layers.items():
        (tmp_path / "test" / name).mkdir(parents=True)
        write_image(tmp_path / "test" / name / "a.tif", layer.astype(mask.dtype if name == "mask" else np.uint16))
    return tmp_path


def test_errors_of_known_dates(tool, pair):
    found = dict(tool.scores(pair / "test", "a.tif", (1, 2, 3)))
    for dates, error in ((1, 100), (2, 100), (3, 100)):
        psnr, mae, _ = found[f"{dates} keep"]
        assert mae == pytest.approx(error, rel=1e-3)
        assert psnr == pytest.approx(20 * np.log10(10000 / error), abs=0.01)
    assert found["1 match"][1] < 1 < found["cloudy"][1]


def test_the_table_ends_in_the_mean(tool, pair, capsys):
    tool.measure(pair, "test", [2])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["image", *["a"] * 3, *["mean"] * 3]
    assert rows[2].split()[1:] == rows[5].split()[1:] and rows[2].split()[1:4] == ["2", "keep", "40.00"]


def test_a_part_without_pairs_is_refused(tool, tmp_path):
    with pytest.raises(UserError, match=r"val: has no pairs: write them with tools/dates_of_one_place"):
        tool.measure(tmp_path, "val", [2])
