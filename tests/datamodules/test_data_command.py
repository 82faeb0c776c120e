import argparse
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio

from declouds.commands import data
from declouds.datamodules.paired import PairedFolderDataset
from declouds.errors import UserError
from declouds.image_io import read_image, write_image


def run(*arguments):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    data.run(parser.parse_args([str(argument) for argument in arguments]))


def picture(seed, bands=3, dtype="uint8", size=16):
    return np.random.default_rng(seed).integers(1, 200, (bands, size, size)).astype(dtype)


def make(root, names, first_seed=0, **options):
    for side, shift in (("cloud", 0), ("label", 1000)):
        (root / side).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            suffix = "png" if options.get("dtype", "uint8") == "uint8" else "tif"
            write_image(root / side / f"{name}.{suffix}", picture(first_seed + number + shift, **options))
    return root


def test_real_data_are_found_ready(shared, capsys):
    for name, counts in (("rice1", ("64", "16")), ("rice2", ("90", "24"))):
        run("check", shared / "data" / name)
        text = capsys.readouterr().out
        assert f"{name}/train" in text and f"{name}/test" in text and "ready for training, 0 warnings" in text
        assert all(count in text for count in counts) and "256x256" in text and "uint8" in text


def test_it_starts_without_torch(tmp_path):
    make(tmp_path, ["1", "2"])
    code = (
        "import sys, argparse; from declouds.commands import data; p = argparse.ArgumentParser();"
        "data.add_arguments(p); assert not {'rasterio', 'rich', 'numpy'} & set(sys.modules);"
        f"data.run(p.parse_args(['check', {str(tmp_path)!r}]));"
        "assert not {'torch', 'torchgeo', 'mmengine'} & set(sys.modules), 'slow start'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_layout_shows_what_is_expected(tmp_path, capsys):
    (tmp_path / "hazy").mkdir()
    with pytest.raises(UserError, match="no data set recognised"):
        run("check", tmp_path)
    text = capsys.readouterr().out
    assert "DIR/cloud/7.png" in text and "DIR/CUHK-CR1/train/cloud/7.png" in text and "--cloudy NAME" in text
    with pytest.raises(UserError, match="no such folder"):
        run("check", tmp_path / "none")


def test_other_folder_names(tmp_path, capsys):
    make(tmp_path, ["1"])
    (tmp_path / "cloud").rename(tmp_path / "hazy")
    run("check", tmp_path, "--cloudy", "hazy")
    assert "ready for training" in capsys.readouterr().out


def test_every_fault_is_told_at_once(tmp_path, capsys):
    root = make(tmp_path / "mine", ["1", "2", "3", "4", "5"])
    (root / "label" / "1.png").unlink()
    broken = root / "cloud" / "2.png"
    broken.write_bytes(broken.read_bytes()[:-20])
    write_image(root / "label" / "3.png", picture(7, size=8), overwrite=True)
    write_image(root / "label" / "4.png", picture(8, bands=1), overwrite=True)
    with pytest.raises(UserError, match=r"mine: 4 faults would break training"):
        run("check", root)
    text = capsys.readouterr().out
    assert "only in" in text and "cloud: 1" in text
    assert "2.png: the PNG is cut short" in text
    assert "3.png is 8x8 uint8" in text
    assert "4.png has 1 bands" in text
    assert text.count("fault:") == 4


def test_nan_is_a_gap_and_a_range_is_asked_for(tmp_path, capsys):
    root = make(tmp_path, ["1", "2"], dtype="float32")
    run("check", root)
    assert "float32 images have no known value range: set value_range=(low, high); the data range from 1 to 199" in (
        capsys.readouterr().out
    )
    broken = picture(0, dtype="float32")
    broken[0, 0, 0] = np.nan
    write_image(root / "cloud" / "2.tif", broken, overwrite=True)
    run("check", root)
    text = capsys.readouterr().out
    assert "nodata pixels" in text and "2 (0.39%)" in text.replace("\n", "") and "the data range from 1 to 199" in text
    write_image(root / "cloud" / "2.tif", np.full_like(broken, np.nan), overwrite=True)
    with pytest.raises(UserError, match="1 faults"):
        run("check", root)
    assert "2.tif: all pixels are nodata" in capsys.readouterr().out


def test_scaled_values_are_told(tmp_path, capsys):
    root = make(tmp_path, ["1", "2"], dtype="uint16")
    for path in root.glob("*/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
    run("check", root)
    assert "the files define a scaling (stored * 0.0001 - 0.1)" in capsys.readouterr().out


def test_units_are_given_as_in_the_config(tmp_path, capsys):
    root = make(tmp_path, ["1", "2", "3"], dtype="uint16")
    units = ("--scale", "0.01", "--offset", "-0.1", "--value-range")
    run("check", root, *units, 0, 2)
    assert "ready for training, 0 warnings" in capsys.readouterr().out
    with pytest.raises(UserError, match="3 faults"):
        run("check", root, *units, 5, 9)
    assert "lie outside value_range (5, 9)" in capsys.readouterr().out
    with pytest.raises(UserError, match="3 faults"):
        run("check", root, "--value-range", 0, 1e6)
    assert "1.tif: is uint16, which cannot hold value_range 0 to 1e+06" in capsys.readouterr().out
    for task in (("check", root), ("split", root, "-o", root / "split.json")):
        with pytest.raises(UserError, match="give --value-range LOW HIGH too"):
            run(*task, "--scale", 0.01)
    with pytest.raises(UserError, match=r"lie outside value_range \(5, 9\)"):
        run("split", root, "-o", root / "split.json", *units, 5, 9)
    for path in (root / "label").iterdir():
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
    with pytest.raises(UserError, match="3 faults"):
        run("check", root, "--value-range", 0, 1)
    assert "differ in scale and offset" in capsys.readouterr().out


def test_a_band_that_is_the_nodata_value_everywhere_is_data_where_the_range_says_so(tmp_path, capsys):
    """As in training: 0 can be measured, so that only pixels of 0 in all bands have no data."""
    root = make(tmp_path, ["1", "2", "3", "4", "5"], dtype="uint16")
    for path in root.glob("*/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.nodata = 0
            file.write(np.zeros((16, 16), np.uint16), 2)
    with pytest.raises(UserError, match="all pixels are nodata"):
        run("split", root, "-o", root / "split.json")
    run("split", root, "-o", root / "split.json", "--value-range", 0, 10000)
    run("check", root, "--value-range", 0, 10000)
    assert "nodata pixels" not in capsys.readouterr().out


def test_a_folder_may_have_the_data_sets_own_name(tmp_path, capsys):
    root = make(tmp_path / "RICE1", ["1", "2"])
    for folder in (root, tmp_path):
        run("check", folder)
        assert "RICE1" in capsys.readouterr().out


def test_bands_can_be_chosen(tmp_path, capsys):
    root = make(tmp_path, ["1", "2"], dtype="uint16")
    make(root, ["3"], first_seed=50, bands=4, dtype="uint16")
    with pytest.raises(UserError, match="1 faults"):
        run("check", root)
    assert "--bands" in capsys.readouterr().out
    run("check", root, "--bands", "1,2,3")
    assert "ready for training" in capsys.readouterr().out


def test_a_mask_may_have_a_palette(tmp_path, capsys):
    root = make(tmp_path, ["1", "2"])
    (root / "mask").mkdir()
    for name in ("1", "2"):
        with rasterio.open(root / "mask" / f"{name}.png", "w", driver="PNG", count=1, height=16, width=16,
                           dtype="uint8") as file:  # fmt: skip
            file.write(np.eye(16, dtype=np.uint8), 1)
            file.write_colormap(1, {0: (0, 0, 0), 1: (255, 255, 255)})
    run("check", root)
    assert "0, 1" in capsys.readouterr().out
    sample = PairedFolderDataset(root, "train", split={"train": ["1", "2"]}, mask="mask", val=None)[0]
    assert sample["mask"].sum() == 16


def test_pairs_of_different_bands_are_a_fault(tmp_path, capsys):
    root = make(tmp_path, ["1", "2"])
    make(root, ["3"], first_seed=50, bands=1)
    with pytest.raises(UserError, match="1 faults"):
        run("check", root)
    assert "3.png has 1 bands of uint8" in capsys.readouterr().out


def test_the_same_picture_in_train_and_test_is_a_leak_even_in_another_format(tmp_path, capsys):
    make(tmp_path / "train", ["1", "2", "3"])
    make(tmp_path / "test", ["1", "2"], first_seed=100)
    for side in ("cloud", "label"):
        copy = read_image(tmp_path / "train" / side / "3.png")
        write_image(tmp_path / "test" / side / "9.tif", copy)
        write_image(tmp_path / "train" / side / "8.png", read_image(tmp_path / "train" / side / "1.png"))
    run("check", tmp_path)
    text = capsys.readouterr().out
    name = tmp_path.name
    assert "in several parts" in text and f"cloudy {name}/train/3 = {name}/test/9" in text
    assert "more than once in one part" in text and f"clear {name}/train/1 = {name}/train/8" in text
    assert "ready for training, 2 warnings" in text


def test_what_looks_odd_is_a_warning(tmp_path, capsys):
    root = make(tmp_path, ["1", "2", "3", "4"])
    opaque = np.concatenate([picture(1), np.full((1, 16, 16), 255, np.uint8)])
    write_image(root / "cloud" / "1.png", opaque, overwrite=True)
    write_image(root / "cloud" / "2.png", read_image(root / "label" / "2.png"), overwrite=True)
    write_image(root / "cloud" / "3.png", np.full((3, 16, 16), 9, np.uint8), overwrite=True)
    for side in ("cloud", "label"):
        write_image(root / side / "4.png", picture(70 + len(side), size=24), overwrite=True)
    (root / "mask").mkdir()
    for name, value in (("1", 0), ("2", 255), ("3", 128), ("4", 128)):
        size = 24 if name == "4" else 16
        write_image(root / "mask" / f"{name}.png", np.full((1, size, size), value, np.uint8))
    run("check", root)
    text = capsys.readouterr().out
    assert "an alpha band, which marks nodata pixels" in text
    assert "cloudy and clear image are identical" in text
    assert "a constant image" in text
    assert "several sizes (16x16, 24x24)" in text
    assert "an empty cloud mask" in text
    assert "0, 128, 255" in text


def test_a_fourth_band_of_a_geotiff_that_is_opacity(tmp_path, capsys):
    root = make(tmp_path, ["1", "2"], bands=4, dtype="uint16")
    for path in root.glob("*/*.tif"):
        path.unlink()
        write_image(path, np.concatenate([picture(len(str(path))), np.full((1, 16, 16), 255, np.uint8)]))
    run("check", root)
    assert "alpha band: set bands=[1, 2, 3]" in capsys.readouterr().out


def test_the_split_of_the_folder_is_checked(tmp_path, capsys):
    root = make(tmp_path, ["1", "2", "3"])
    (root / "split.json").write_text(json.dumps({"train": ["1"], "test": ["2", "77"]}))
    with pytest.raises(UserError, match="1 faults"):
        run("check", root)
    text = capsys.readouterr().out
    assert "lists test images that do not exist: 77" in text and "in no part" in text
    (root / "split.json").write_text("{")
    with pytest.raises(UserError, match="1 faults"):
        run("check", root)
    assert "is not valid JSON" in capsys.readouterr().out


def test_clear_images_alone(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "more").mkdir()
    pictures = {name: rng.integers(0, 200, (3, size, 30), dtype=np.uint8) for name, size in (("a", 20), ("more/b", 30))}
    pictures["snow"] = np.full((3, 20, 30), 240, np.uint8)
    pictures["snow"][:, :, :15] = rng.integers(0, 200, (3, 20, 15), dtype=np.uint8)
    pictures["again"] = pictures["a"]
    for name, pixels in pictures.items():
        write_image(tmp_path / f"{name}.png", pixels)
    with pytest.raises(UserError, match="say --unpaired if they are clear images alone"):
        run("check", tmp_path)
    run("check", tmp_path, "--unpaired")
    out = capsys.readouterr().out
    assert "clear images" in out and "0 to 240" in out
    assert "perhaps cloud or snow: leave out what is cloudy: clear images/snow\n" in out
    assert "the same image more than once in one part: clear clear images/a = clear images/again" in out
    assert "ready for training, 2 warnings" in out
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="1 faults would break training"):
        run("check", tmp_path, "--unpaired")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        run("check", tmp_path / "empty", "--unpaired")


def test_cuhk_cr_is_recognised_with_its_infrared(tmp_path, capsys):
    top = tmp_path / "C-CUHK - 副本"
    for part, seed in (("train", 0), ("test", 100)):
        make(top / "CUHK-CR1" / part, ["1", "2"], first_seed=seed)
        make(top / "nir" / "CUHK-CR1" / part, ["1", "2"], first_seed=seed + 50)
    run("check", tmp_path)
    text = capsys.readouterr().out
    assert "CUHK-CR1/train" in text and "CUHK-CR1/test" in text
    assert "near-infrared bands that differ, of which the first is used" in text
    (top / "nir" / "CUHK-CR1" / "test" / "cloud" / "2.png").unlink()
    with pytest.raises(UserError, match="1 faults"):
        run("check", top)
    assert "without a partner" in capsys.readouterr().out


def test_split_writes_a_file_that_training_reads_and_refuses_to_replace(tmp_path, capsys):
    root = make(tmp_path / "data", [str(n) for n in range(20)])
    output = root / "split.json"
    run("split", root, "-o", output, "--fractions", "0.7", "0.1", "0.2", "--seed", "5", "--block", "2")
    assert "train 14, val 2, test 4; 20 images kept together in 10 groups" in capsys.readouterr().out
    content = json.loads(output.read_text())
    assert sorted(map(int, content["train"] + content["val"] + content["test"])) == list(range(20))
    assert "seed 5" in content["about"] and "blocks of 2" in content["about"]
    run("check", root)
    before = output.read_bytes()
    with pytest.raises(UserError, match=r"split.json already exists"):
        run("split", root, "-o", output)
    assert output.read_bytes() == before


def test_a_split_that_fails_writes_nothing(tmp_path):
    root = make(tmp_path / "data", ["1", "2", "3"])
    with pytest.raises(UserError, match="add up to 1"):
        run("split", root, "-o", tmp_path / "s.json", "--fractions", "0.5", "0.4")
    with pytest.raises(UserError, match="no such folder"):
        run("split", root, "-o", tmp_path / "s.json", "--clear", "truth")
    assert not (tmp_path / "s.json").exists()


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    from declouds.datamodules.pairs import images_in

    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(UserError, match=r"'caf\\udce9\.png' is not UTF-8: rename the file"):
        images_in(tmp_path)
