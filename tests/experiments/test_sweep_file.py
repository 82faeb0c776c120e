"""Sweep files and the cells that they span."""

import pytest

from declouds.errors import UserError
from declouds.experiments.sweep_file import read_sweep

BASE = 'base = "tiny.py"\n'


def names(sweep, folder, **choice):
    return [cell.name for cell in sweep.cells(folder, **choice)]


def test_the_cells_are_all_combinations_but_those_excluded(sweep_file, tmp_path):
    sweep = read_sweep(sweep_file())
    assert names(sweep, tmp_path) == ["fusion=learned,eta=0.0", "fusion=learned,eta=0.3", "fusion=half,eta=0.0"]
    cell = sweep.cells(tmp_path)[2]
    assert cell.config["model"]["fusion"] == {"type": "FixedWeight", "weight": 0.5}  # replaced, not merged
    assert cell.config["model"]["eta"] == 0.0
    assert cell.config["val"]["images"] == 1
    assert cell.folder == tmp_path / "cells" / cell.name


def test_cells_have_digests_of_their_own_that_stay(sweep_file, tmp_path):
    first, again = (read_sweep(sweep_file()).cells(tmp_path) for _ in range(2))
    assert len({cell.digest for cell in first}) == 3
    assert [cell.digest for cell in first] == [cell.digest for cell in again]
    changed = read_sweep(sweep_file(), ["log_interval=2"]).cells(tmp_path)
    assert not {cell.digest for cell in first} & {cell.digest for cell in changed}


def test_paired_axes_go_together_and_name_the_cell_once(sweep_file, tmp_path):
    text = BASE + 'axes = {"eta": [0.1, 0.2], "stages.0.lr": [1e-3, 1e-3]}\npaired = [("eta", "stages.0.lr")]\n'
    cells = read_sweep(sweep_file(text)).cells(tmp_path)
    assert [cell.name for cell in cells] == ["0.1", "0.2"]
    assert [cell.config["stages"][0]["lr"] for cell in cells] == [1e-3, 1e-3]


def test_only_and_seeds_choose_and_add_cells(sweep_file, tmp_path):
    sweep = read_sweep(sweep_file())
    assert names(sweep, tmp_path, only={"fusion": ["half"]}) == ["fusion=half,eta=0.0"]
    found = sweep.cells(tmp_path, {"fusion": ["half"]}, [3, 4])  # 3 is the base's own
    assert [cell.name for cell in found] == ["fusion=half,eta=0.0", "fusion=half,eta=0.0,seed=4"]
    assert [cell.config["seed"] for cell in found] == [3, 4]
    assert found[0].digest == sweep.cells(tmp_path, {"fusion": ["half"]})[0].digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BASE + "axes = dict(fusoin=[1])", "axis 'fusoin' is not a config key: did you mean 'fusion'"),
        (BASE + 'axes = {"model.fusion.typo.x": [1]}', "is not a config key"),
        (BASE + 'axes = {"stages.9.lr": [1]}', "is not a config key"),
        (
            BASE + "axes = dict(fusion=[dict(type='TimeWeight'), dict(type='TimeWeight')])",
            "two cells would have the name",
        ),
        (BASE + "axes = dict(stages=[[1]])", "has no name: name the values, stages=dict"),
        (BASE + "axes = dict(eta={'a/b': 1})", "cannot name a folder"),
        (BASE + "axes = dict(eta=[])", "has no values"),
        (BASE + "axes = dict(eta=0.1)", "is a list of values"),
        (BASE + "axes = dict(eta=[0.1])\npaired = [('eta', 'sed')]", "paired names the axis 'sed'"),
        (BASE + "axes = dict(eta=[0.1], seed=[1, 2])\npaired = [('eta', 'seed')]", "are paired"),
        (BASE + "axes = dict(eta=dict(a=1), seed=dict(b=1))\npaired = [('eta', 'seed')]", "are paired"),
        (BASE + "axes = dict(eta=[0.1])\nexclude = [dict(eta='0.2')]", "axis eta has no value '0.2': 0.1"),
        (BASE + "axes = dict(eta=[0.1])\nexclude = [dict(eta='0.1')]", "no cell is left"),
        (BASE + "axes = dict(eta=[0.1])\nbaseline = '0.2'", "baseline='0.2' is not a cell: 0.1"),
        (
            BASE + "axes = dict(eta=[0.1])\nvariants = ['prio']",
            "variants is a list of some of cloudy, prior, diffusion",
        ),
        (BASE + "axes = dict(eta=[0.1])\naxis = 1", "unknown key 'axis' of a sweep"),
        (BASE + "axes = {'eta': [0.1, 0.2], 'model.eta': [0.3]}", "are one config: axes that set one entry undo"),
        (BASE + "axes = dict(eta=[0.1])\npaired = 3", "paired is a list of groups of axes"),
        (BASE + "axes = dict(eta=[0.1])\npaired = ['eta']", "a group is a list of two axes or more"),
        (BASE + "axes = dict(eta=[0.1])\nexclude = dict(eta='0.1')", "exclude is a list of combinations"),
        (BASE + "axes = dict(eta=[0.1])\nexclude = ['eta']", "a combination is dict(axis='value', ...)"),
        (BASE + "axes = dict(eta=[0.1])\noverrides = ['a']", "overrides is a dict"),
        (BASE + "axes = dict(eta=[0.1])\nmetrics = 'official.psnr'", "metrics is a list of metrics"),
        (BASE + "axes = dict(eta=[0.1])\nmetrics = ['psnr']", "'psnr' is not a metric"),
        (BASE + "axes = dict(eta=[0.1])\nabout = 3", "about is a sentence"),
        (BASE + "import numpy\naxes = dict(eta=[numpy.float32(0.1)])", "axes holds what no config can"),
        ("axes = dict(eta=[0.1])", "a sweep has `base"),
        ('base = "missing.py"\naxes = dict(eta=[0.1])', "missing.py does not exist"),
        ("axes = dict(", "is not a readable config"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(sweep_file, text, words):
    with pytest.raises(UserError) as refusal:
        read_sweep(sweep_file(text))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_a_choice_that_is_not_there_are_refused(sweep_file, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.py does not exist"):
        read_sweep(tmp_path / "nowhere.py")
    sweep = read_sweep(sweep_file())
    for only, words in (({"fusoin": ["x"]}, "names the axis 'fusoin'"), ({"fusion": ["x"]}, "has no value 'x'")):
        with pytest.raises(UserError, match=words):
            sweep.cells(tmp_path, only)
