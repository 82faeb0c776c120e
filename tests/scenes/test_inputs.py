from pathlib import Path

import pytest

from declouds.errors import UserError
from declouds.scenes.inputs import find_scenes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        *(
            "in/b.tif",
            "in/a.TIFF",
            "in/c.vrt",
            "in/d.jp2",
            "in/a_quality.tif",
            "in/.b.tif.12.partial.tif",
            "in/notes.txt",
        ),
        *("in/item.json", "in/sub/e.tif", "in/S2A_X.SAFE/MTD_MSIL2A.xml", "in/plain/MTD_MSIL1C.xml", "other/b.tif"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "out").mkdir()
    return tmp_path


def scenes(*inputs, output="out"):
    return [(str(source), str(destination)) for source, destination in find_scenes(inputs, Path(output))]


def test_one_scene_goes_to_the_file_or_into_the_folder(folder):
    assert scenes("in/b.tif", output="clear.tif") == [("in/b.tif", "clear.tif")]
    assert scenes("in/b.tif", output="no/such/clear.tif") == [("in/b.tif", "no/such/clear.tif")]
    assert scenes("in/a.TIFF") == [("in/a.TIFF", "out/a.tif")]
    assert scenes("in/item.json") == [("in/item.json", "out/item.tif")]
    assert scenes("in/S2A_X.SAFE/", output="s2.tif") == [("in/S2A_X.SAFE", "s2.tif")]
    assert scenes("in/plain", output="s2.tif") == [("in/plain", "s2.tif")]  # a product whose folder was renamed


def test_a_folder_holds_rasters_and_products_and_nothing_else(folder):
    expected = [
        ("in/S2A_X.SAFE", "out/S2A_X.tif"), ("in/a.TIFF", "out/a.tif"), ("in/b.tif", "out/b.tif"),
        ("in/c.vrt", "out/c.tif"), ("in/d.jp2", "out/d.tif"), ("in/plain", "out/plain.tif"),
    ]  # fmt: skip
    assert scenes("in") == expected
    assert scenes("in", output="new") == [(source, target.replace("out", "new")) for source, target in expected]


def test_a_pattern_that_the_shell_left_alone(folder):
    assert scenes("in/?.tif*") == [("in/b.tif", "out/b.tif")]
    assert scenes("in/*.tif") == [("in/b.tif", "out/b.tif")]  # not a_quality.tif, not hidden work
    assert scenes("in/[ac].*") == [("in/a.TIFF", "out/a.tif"), ("in/c.vrt", "out/c.tif")]
    assert scenes("**/e.tif") == [("in/sub/e.tif", "out/e.tif")]
    assert scenes("in/*.SAFE") == [("in/S2A_X.SAFE", "out/S2A_X.tif")]


def test_a_file_is_itself_though_its_name_looks_like_a_pattern(folder):
    (folder / "in" / "x[1].tif").touch()
    (folder / "in" / "x1.tif").touch()
    assert scenes("in/x[1].tif", output="o.tif") == [("in/x[1].tif", "o.tif")]
    assert scenes("in/x[1]*.tif") == [("in/x1.tif", "out/x1.tif")]


def test_several_inputs_keep_their_order_and_come_once(folder):
    assert scenes("in/d.jp2", "in/b.tif", "./in/d.jp2", "in/[bc].*") == [
        ("in/d.jp2", "out/d.tif"), ("in/b.tif", "out/b.tif"), ("in/c.vrt", "out/c.tif"),
    ]  # fmt: skip


def test_a_quality_file_can_be_named(folder):
    assert scenes("in/a_quality.tif", output="o.tif") == [("in/a_quality.tif", "o.tif")]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        ([], "out", "no input is given"),
        (["in/none.tif"], "out", r"in/none\.tif: no such file: check the path"),
        (["in/b.tif", "in/none.tif"], "out", r"in/none\.tif: no such file"),
        (["in/*.png"], "out", r"in/\*\.png: no scene has a name of that pattern"),
        (["in/*_quality.tif"], "out", "no scene has a name of that pattern"),
        (["out"], "out", r"out: holds no scene \(\.tif, \.tiff, \.vrt, \.jp2, \.SAFE\)"),
        (["in"], "clear.tif", r"clear\.tif: in can be several scenes: give a folder"),
        (["in/*.tif"], "in/b.tif", r"in/b\.tif: in/\*\.tif can be several scenes: give a folder"),
        (["in/b.tif", "in/c.vrt"], "clear.TIF", "can be several scenes: give a folder"),
        (
            ["in/b.tif", "other/b.tif"],
            "out",
            r"in/b\.tif and other/b\.tif would both go to out/b\.tif: clear them apart",
        ),
        (["https://host/a.tif"], "out", r"https://host/a\.tif: is not on this machine: download it"),
        (["/vsicurl/https://host/a.tif"], "out", "is not on this machine"),
        (["s3://bucket/*.tif"], "out", "is not on this machine"),
    ],
)
def test_inputs_that_cannot_be_meant(folder, inputs, output, message):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match=message):
        find_scenes(inputs, Path(output))
    assert sorted(folder.rglob("*")) == before
