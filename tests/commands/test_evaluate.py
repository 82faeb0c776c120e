import json

import numpy as np
import pytest

from declouds.cli import main
from declouds.evaluation import lpips_net
from declouds.image_io import read_image, write_image


@pytest.fixture(autouse=True)
def alone_and_offline(monkeypatch, tmp_path):
    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(lpips_net, "URL", "http://127.0.0.1:9/alexnet.pth")
    monkeypatch.setattr("declouds.cli.COMMANDS", ("evaluate",))  # the others are tested elsewhere


@pytest.fixture
def folders(tmp_path):
    """Three 8-bit pairs, 10 levels apart, and masks of the left half."""
    random = np.random.default_rng(0)
    for name in ("results", "clear", "mask"):
        (tmp_path / name).mkdir()
    for index in (1, 2, 10):
        clear = random.integers(20, 200, (3, 16, 20), dtype=np.uint8)
        write_image(tmp_path / "clear" / f"{index}.png", clear)
        write_image(tmp_path / "results" / f"{index}.tif", clear + 10)
        write_image(
            tmp_path / "mask" / f"{index}.png", np.where(np.arange(20) < 10, 255, 0).astype("uint8") + clear[:1] * 0
        )
    return tmp_path


def evaluate(folder, *more):
    main(["evaluate", str(folder / "results"), str(folder / "clear"), *map(str, more)])


def refused(capsys, folder, *more):
    """Run, and return the one line of the error; nothing may have been written."""
    with pytest.raises(SystemExit) as stop:
        evaluate(folder, "--out", folder / "out", *more)
    assert stop.value.code == 2
    assert not (folder / "out").exists()
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    return error


@pytest.mark.parametrize(("data", "psnr", "ssim"), [("rice1", "18.151", "0.7948"), ("rice2", "24.171", "0.7789")])
def test_the_known_figures(shared, capsys, data, psnr, ssim):
    folder = shared / "data" / data
    main(
        [
            "evaluate",
            f"{folder}/cloud",
            f"{folder}/label",
            "--split",
            f"{folder}/split.json:test",
            "--protocol",
            "official",
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert any("protocol: official" in line for line in lines)
    assert any("psnr" in line and psnr in line for line in lines)
    assert any("ssim" in line and ssim in line for line in lines)


def test_both_protocols_masks_and_files(folders, capsys):
    evaluate(folders, "--mask", folders / "mask", "--out", folders / "new" / "out")
    content = json.loads((folders / "new" / "out" / "results.json").read_text())
    assert list(content["protocols"]) == ["official", "standard"]
    assert [row["name"] for row in content["methods"]["result"]["per_image"]] == ["1", "2", "10"]
    summary = content["methods"]["result"]["summary"]
    exact = 20 * np.log10(255 / 10)
    for metric in ("official.psnr", "standard.psnr", "standard.psnr.cloudy_pixels", "standard.psnr.clear_pixels"):
        assert summary[metric]["mean"] == pytest.approx(exact, abs=1e-4)
    assert summary["standard.mae"]["mean"] == pytest.approx(2 * 10 / 255, abs=1e-6)
    assert not [metric for metric in summary if "lpips" in metric]
    assert (folders / "new" / "out" / "per_image.csv").read_text().count("\n") == 4
    assert "protocol: standard, 3 images" in capsys.readouterr().out


def test_lpips_with_given_weights(folders, shared, capsys):
    for index in (1, 2, 10):
        for name in ("results", "clear"):
            picture = np.random.default_rng(index).integers(0, 255, (3, 40, 40), dtype=np.uint8)
            suffix = ".tif" if name == "results" else ".png"
            write_image(folders / name / f"{index}{suffix}", picture // (2 if name == "results" else 1), overwrite=True)
    evaluate(folders, "--lpips-weights", shared / "weights" / "lpips_alexnet_features.pth", "--out", folders / "out")
    summary = json.loads((folders / "out" / "results.json").read_text())["methods"]["result"]["summary"]
    assert summary["official.lpips"]["mean"] > 0 and summary["standard.lpips"]["mean"] > 0
    assert "lpips" in capsys.readouterr().out


def test_a_split_chooses_images(folders):
    (folders / "split.json").write_text('{"test": ["2", "1"], "train": ["10"]}')
    (folders / "results" / "10.tif").unlink()
    evaluate(folders, "--split", f"{folders / 'split.json'}:test", "--out", folders / "out")
    content = json.loads((folders / "out" / "results.json").read_text())
    assert content["count"] == 2
    assert [row["name"] for row in content["methods"]["result"]["per_image"]] == ["2", "1"]
    assert (content["split"]["part"], content["split"]["count"], len(content["split"]["digest"])) == ("test", 2, 64)


def test_a_wrong_split(folders, capsys):
    split = folders / "split.json"
    split.write_text('{"test": ["2", "11"], "train": ["10"], "val": []}')
    assert "lacks 11 of the split" in refused(capsys, folders, "--split", f"{split}:test")
    assert f"name one list of the file: {split}:train, {split}:val, {split}:test" in refused(
        capsys, folders, "--split", split
    )
    assert "name one list" in refused(capsys, folders, "--split", f"{split}:tset")
    assert "the list is empty" in refused(capsys, folders, "--split", f"{split}:val")
    assert "no split" in refused(capsys, folders, "--split", f"{folders}/absent.json:test")


def test_a_picture_without_partner(folders, capsys):
    (folders / "clear" / "2.png").unlink()
    error = refused(capsys, folders)
    assert "without a partner" in error and "2" in error


def test_no_folder_and_no_picture(folders, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", str(folders / "absent"), str(folders / "clear")])
    assert "no such folder" in capsys.readouterr().err
    (folders / "empty").mkdir()
    assert "holds no image" in refused(capsys, folders, "--mask", folders / "empty")


@pytest.mark.parametrize(("shape", "words"), [((3, 16, 21), "16 x 21 pixels"), ((4, 16, 20), "with 4 bands")])
def test_another_size_or_other_bands(folders, capsys, shape, words):
    write_image(folders / "results" / "10.tif", np.zeros(shape, np.uint8), overwrite=True)
    error = refused(capsys, folders)
    assert "10.tif" in error and words in error and "nothing is resized" in error


def test_opacity_is_no_band_and_tells_of_gaps(folders, capsys):
    """The fourth band of an 8-bit GeoTIFF, as GDAL writes it."""
    import rasterio

    for index in (1, 2, 10):
        clear = read_image(folders / "clear" / f"{index}.png")
        opacity = np.full((1, 16, 20), 255, np.uint8)
        opacity[:, 12:] = 0
        clear[:, 12:] = 0
        (folders / "clear" / f"{index}.png").unlink()
        size = dict(count=4, height=16, width=20, dtype="uint8")
        with rasterio.open(folders / "clear" / f"{index}.tif", "w", driver="GTiff", **size) as file:
            file.write(np.concatenate([clear, opacity]))
    evaluate(folders, "--out", folders / "out")
    summary = json.loads((folders / "out" / "results.json").read_text())["methods"]["result"]["summary"]
    assert summary["standard.psnr"]["mean"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-4)
    assert "standard.psnr.band3" in summary and "standard.psnr.band4" not in summary


def test_a_mask_of_another_size(folders, capsys):
    write_image(folders / "mask" / "1.png", np.zeros((1, 8, 8), np.uint8), overwrite=True)
    assert "give an equal size" in refused(capsys, folders, "--mask", folders / "mask")


def test_values_that_are_not_8_bit_need_a_range(folders, capsys):
    for index in (1, 2, 10):
        clear = np.random.default_rng(index).integers(100, 9000, (4, 16, 20)).astype(np.uint16)
        (folders / "clear" / f"{index}.png").unlink()
        write_image(folders / "clear" / f"{index}.tif", clear)
        write_image(folders / "results" / f"{index}.tif", clear.astype(np.float32) + 100, overwrite=True)
    assert "give --value-range LOW HIGH" in refused(capsys, folders)
    assert "goes from low to high" in refused(capsys, folders, "--value-range", 5, 5)
    assert "lie outside 0 to 1" in refused(capsys, folders, "--value-range", 0, 1)
    clear = read_image(folders / "clear" / "1.tif")
    clear[:, 0, 0] = 0  # all others would be white, and the scores perfect
    write_image(folders / "clear" / "1.tif", clear, overwrite=True)
    write_image(folders / "results" / "1.tif", clear.astype(np.float32), overwrite=True)
    assert "1.tif: all values (0 to " in refused(capsys, folders, "--value-range", 0, 1)
    write_image(folders / "results" / "1.tif", (clear / 1e4).astype(np.float32), overwrite=True)
    assert "or at its dark end" in refused(capsys, folders, "--value-range", 0, 10000)
    write_image(folders / "results" / "1.tif", clear.astype(np.float32) + 100, overwrite=True)
    evaluate(folders, "--value-range", 0, 10000, "--out", folders / "out")
    summary = json.loads((folders / "out" / "results.json").read_text())["methods"]["result"]["summary"]
    assert summary["standard.psnr"]["mean"] == pytest.approx(40, abs=1e-3)  # 100 of 10000
    assert "standard.psnr.band4" in summary


def test_8_bit_against_other_types(folders, capsys):
    write_image(folders / "results" / "1.tif", np.zeros((3, 16, 20), np.uint16), overwrite=True)
    assert "save both as one type" in refused(capsys, folders, "--value-range", 0, 255)


def test_a_damaged_picture(folders, capsys):
    path = folders / "clear" / "10.png"
    path.write_bytes(path.read_bytes()[:200])
    assert "10.png" in refused(capsys, folders)


def test_a_wrong_file_of_weights(folders, capsys):
    assert "no such file of LPIPS weights" in refused(capsys, folders, "--lpips-weights", folders / "absent.pth")


def test_results_are_not_overwritten(folders, capsys):
    (folders / "out").mkdir()
    (folders / "out" / "results.json").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        evaluate(folders, "--out", folders / "out")
    assert stop.value.code == 2 and "--overwrite" in capsys.readouterr().err
    assert (folders / "out" / "results.json").read_text() == "mine"
    evaluate(folders, "--out", folders / "out", "--overwrite")
    assert json.loads((folders / "out" / "results.json").read_text())["count"] == 3
