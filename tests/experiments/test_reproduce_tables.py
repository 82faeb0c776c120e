"""The tables that are shipped, and tables that are none."""

from pathlib import Path

import pytest

from declouds.cli import main
from declouds.datamodules.splits import digest, find_split
from declouds.errors import UserError
from declouds.experiments.reproduce.table import read_table, shipped_tables
from declouds.registry import DATAMODULES
from declouds.training.config import load_config
from declouds.weights.zoo import zoo

ROOT = Path(__file__).resolve().parents[2]
ROWS = [(name, row.name) for name in shipped_tables() for row in read_table(name).rows]

GOOD = """
format = 1
about = "a table"
[data.pairs]
title = "pairs"
root = "data/pairs"
source = "somewhere"
fetch = ["fetch"]
[data.pairs.parts.test]
images = 3
[[rows]]
name = "cloudy"
title = "a row"
config = "config.py"
data = "pairs"
figures = [{ method = "cloudy", metric = "official.psnr", expected = 1.0, tolerance = 0.1 }]
"""


@pytest.fixture(autouse=True)
def this_command(monkeypatch):
    monkeypatch.setattr("declouds.cli.COMMANDS", ("reproduce",))


def test_the_tables_that_were_promised_are_listed(capsys):
    assert shipped_tables() == ["de_cuhkcr", "de_rice", "small_rice"]
    main(["reproduce"])
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in shipped_tables()) and "small_de_rice1" in printed


@pytest.mark.parametrize(("name", "row"), ROWS, ids="-".join)
def test_a_shipped_row_is_of_a_config_and_of_weights_that_exist(name, row):
    table = read_table(name)
    (row,) = table.chosen([row])
    config = load_config(ROOT / row.config, list(row.cfg_options))
    module = DATAMODULES.build(config.datamodule)  # every argument is one of the data module's
    assert config.model.get("bands", 3) == len(module.band_names)
    assert row.zoo is None or row.zoo in zoo()
    methods = {figure.method for figure in row.figures}
    fuses = row.run is not None and config.model.type == "DiffusionEnhancement"
    assert methods <= ({"prior", "diffusion", "DE"} if fuses else {"result"} if row.zoo or row.run else {"cloudy"})
    if not row.zoo and row.run:  # the reference's own stage is as long as the data set's config has it
        stages = [*config.get("reference_stages", []), *config.stages]
        assert len({stage["name"] for stage in stages}) == len(stages)


def test_what_small_rice_is_of_is_what_the_zoo_and_the_shipped_splits_say(tmp_path):
    table = read_table("small_rice")
    for number in (1, 2):
        parts = table.data[f"rice{number}"].parts
        expected = zoo()[f"spa_gan_rice{number}"].expected
        assert (parts["test"].names, parts["test"].pixels) == (expected.split_digest, expected.pixels_digest)
        split = find_split(f"small_rice{number}", tmp_path)
        for part, images in parts.items():
            assert (images.images, images.names) == (len(split.parts[part]), digest(split.parts[part]))
        (row,) = table.chosen([f"spa_gan_rice{number}"])
        figures = {figure.metric.removeprefix("official."): figure for figure in row.figures}
        assert all(figures[metric].expected == value for metric, value in expected.scores.items())
        assert all(figures[metric].tolerance == value for metric, value in expected.tolerances.items())


def test_the_cloudy_images_of_the_small_subset_pass(shared, tmp_path, monkeypatch, capsys):
    for name in ("DECLOUDS_LPIPS_WEIGHTS", "DECLOUDS_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS")
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    data = f"rice1={shared / 'data' / 'rice1'}"
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "small_rice", "--rows", "cloudy_rice1", "--data", data, "--out", str(tmp_path / "out")])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "18.151 [16.116, 20.104]" in printed and "1 rows: 1 PASS." in printed


def test_a_table_of_your_own_is_read(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD)
    table = read_table(str(tmp_path / "mine.toml"))
    assert (table.name, table.data["pairs"].parts["test"].images, table.rows[0].seed) == ("mine", 3, 0)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("format = 1", "", "has no line `format = 1`"),
        ("about", "abuot", "nothing reads abuot and lacks about"),
        ('title = "a row"', 'titel = "a row"', "row cloudy: nothing reads titel and lacks title"),
        ('data = "pairs"', 'data = "pears"', r"there is no data\.pears: known are pairs"),
        ("official.psnr", "psnr", "names no protocol"),
        (", tolerance = 0.1", "", "expected value or a tolerance: give both or neither"),
        ("expected = 1.0", "expected = 'one'", "has 'one' for a number"),
        ('method = "cloudy"', 'method = "DE"', "is of the cloudy images alone, not of 'DE'"),
        ('name = "cloudy"', 'name = "../cloudy"', "use letters, digits and _"),
        ('name = "cloudy"', 'name = "cloudy"\nzoo = "a"\nrun = "b"', "has both zoo and run"),
        ("images = 3", "pictures = 3", r"data\.pairs\.parts\.test: nothing reads pictures"),
        ("[data.pairs]", "[data.pairs", "is not a TOML file"),
    ],
)
def test_a_broken_table_is_told_by_its_file(tmp_path, old, new, told):
    (tmp_path / "mine.toml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"mine\.toml.*{told}"):
        read_table(str(tmp_path / "mine.toml"))


def test_a_table_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UserError, match=r"no table de_ric: give one of de_cuhkcr, de_rice, small_rice, or the path"):
        read_table("de_ric")
