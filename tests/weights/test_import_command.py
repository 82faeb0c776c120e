"""`declouds weights import`, `info` and `export`, as a user calls them."""

import json

import pytest
import safetensors.torch
import torch

import declouds
from declouds.cli import main
from declouds.registry import REFERENCES
from declouds.weights.file import read_weights


@pytest.fixture
def fails(tmp_path, capsys):
    """A function that runs a command, checks that it ends in one line and writes nothing, and returns the line."""

    def run(*words):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert ended.value.code == 2
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        message = capsys.readouterr().err.strip()
        assert message.startswith("declouds: ") and "\n" not in message
        return message

    return run


@pytest.fixture
def imported(spa_gan_file, tmp_path):
    """A function that imports a SpA-GAN file and returns the path of ours."""

    def bring(order="rgb", bands=3, *more):
        target = tmp_path / f"{order}{bands}.safetensors"
        main(["weights", "import", str(spa_gan_file(bands)), "--as", "spa_gan", "--channel-order", order, "-o",
              str(target), *more])  # fmt: skip
        return target

    return bring


@pytest.mark.parametrize("bands", [3, 4])
def test_a_bgr_network_takes_and_gives_rgb(imported, bands):
    rgb, bgr = (declouds.load_model(imported(order, bands)) for order in ("rgb", "bgr"))
    cloudy = torch.rand(1, bands, 9, 8) * 2 - 1
    swap = [2, 1, 0, 3][:bands]
    theirs = rgb.predict(cloudy[:, swap])[:, swap]
    torch.testing.assert_close(bgr.predict(cloudy), theirs)
    assert (bgr.predict(cloudy) - rgb.predict(cloudy)).abs().max() > 0.01


def test_the_file_says_what_it_is(imported, capsys):
    path = imported("bgr")
    config, _, record = read_weights(path)
    assert config["band_names"] == ["red", "green", "blue"] and config["value_range"] == [0, 255]
    assert record["imported"]["channel_order"] == "bgr" and record["imported"]["kind"] == "spa_gan"
    assert len(record["imported"]["sha256"]) == 64
    capsys.readouterr()
    main(["weights", "info", str(path)])
    text = capsys.readouterr().out
    for words in ("OnePass", "SpAGAN", "red, green, blue", "0, 255", "channel_order: bgr", "spa_gan.pth"):
        assert words in text
    main(["weights", "info", "--json", str(path)])
    values = json.loads(capsys.readouterr().out)
    assert values["parts"] == {"reference": values["parameters"]} and values["parameters"] > 500
    assert values["config"] == config and values["record"] == record


def test_names_of_the_bands(imported, spa_gan_file, tmp_path, fails):
    path = imported("rgb", 4, "--band-names", "red", "green", "blue", "nir", "--value-range", "0", "10000")
    model = declouds.load_model(path)
    assert model.band_names == ("red", "green", "blue", "nir") and model.value_range.high == 10000
    assert read_weights(imported("bgr", 4)).config["band_names"] == []
    message = fails("weights", "import", spa_gan_file(), "--as", "spa_gan", "--channel-order", "rgb", "-o",
                    tmp_path / "o.safetensors", "--band-names", "nir")  # fmt: skip
    assert "names 1 bands, but the network has 3" in message


def test_the_order_of_spa_gan_is_not_guessed(spa_gan_file, tmp_path, fails):
    arguments = ("weights", "import", spa_gan_file(), "--as", "spa_gan", "-o", tmp_path / "o.safetensors")
    message = fails(*arguments)
    assert "give --channel-order rgb or bgr" in message and "published generators expect bgr" in message
    assert "no channel order is called 'grb'" in fails(*arguments, "--channel-order", "grb")
    message = fails(*arguments[:4], "mpr_net", *arguments[5:], "--channel-order", "bgr")
    assert "mpr_net weights are taken in the order rgb alone" in message
    two_bands = spa_gan_file(2, name="two.pth")
    message = fails(*arguments[:2], two_bands, *arguments[3:], "--channel-order", "bgr")
    assert "two.pth: a network of 2 bands has no order bgr" in message


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {key.removeprefix("gen.gen."): value for key, value in state.items()},
        lambda state: {f"module.{key}": value.bfloat16() for key, value in state.items()},
        lambda state: {"epoch": 3, "generator": state, "optimizer": {"state": {}, "param_groups": []}},
    ],
)
def test_wrappers_and_containers(wrap, spa_gan_official, tmp_path):
    torch.save(wrap(spa_gan_official()), tmp_path / "wrapped.pth")
    main(["weights", "import", str(tmp_path / "wrapped.pth"), "--as", "spa_gan", "--channel-order", "rgb", "-o",
          str(tmp_path / "ours.safetensors")])  # fmt: skip
    state_dict = read_weights(tmp_path / "ours.safetensors").state_dict
    torch.testing.assert_close(
        state_dict["reference.conv_in.weight"], spa_gan_official()["gen.gen.conv_in.0.weight"], rtol=0.01, atol=0
    )


def test_a_small_file_that_grows_is_refused(spa_gan_official, tmp_path, fails):
    grown = torch.zeros(1).expand(1 << 30, 3, 3, 3)
    torch.save(spa_gan_official() | {"gen.gen.conv_in.0.weight": grown}, tmp_path / "bomb.pth")
    message = fails("weights", "import", tmp_path / "bomb.pth", "--as", "spa_gan", "--channel-order", "rgb", "-o",
                    tmp_path / "o.safetensors")  # fmt: skip
    assert "holds no weights of its own" in message


def test_what_cannot_be_imported_or_shown(spa_gan_file, tmp_path, fails, spa_gan_official):
    target = tmp_path / "o.safetensors"
    file = spa_gan_file()
    common = ("--channel-order", "bgr", "-o", target)
    assert "no kind of official weights is called 'spagan'" in fails(
        "weights", "import", file, "--as", "spagan", *common
    )
    assert "no such file" in fails("weights", "import", tmp_path / "absent.pth", "--as", "spa_gan", *common)
    assert "--part only applies to --as de" in fails(
        "weights", "import", file, "--as", "spa_gan", *common, "--part", f"reference={file}"
    )
    assert "--part reference=FILE" in fails("weights", "import", file, "--as", "de", "-o", target)
    message = fails("weights", "import", file, "--as", "msda", "-o", target)
    assert "it looks like spa_gan weights: import it as spa_gan" in message
    state = spa_gan_official()
    shape = {**state, "gen.gen.conv_out.0.weight": torch.zeros(3, 5, 3, 3)}
    torch.save(shape, tmp_path / "shape.pth")
    message = fails("weights", "import", tmp_path / "shape.pth", "--as", "spa_gan", *common)
    assert "1 of wrong shape: conv_out.0.weight is (3, 5, 3, 3), not (3, 2, 3, 3)" in message
    torch.save({key: value for key, value in state.items() if "block9" not in key}, tmp_path / "less.pth")
    assert "3 missing" in fails("weights", "import", tmp_path / "less.pth", "--as", "spa_gan", *common)
    assert "does not exist" in fails("weights", "info", tmp_path / "absent.safetensors")
    assert "is a folder" in fails("weights", "info", tmp_path)
    assert "truncated or no safetensors file" in fails("weights", "info", file)
    target.write_text("mine")
    assert "give --overwrite" in fails("weights", "import", file, "--as", "spa_gan", *common)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_part_goes_out_and_fills_the_bare_network(imported, tmp_path, suffix):
    path = imported("rgb")
    main(["weights", "export", str(path), "--part", "reference", "-o", str(tmp_path / f"part{suffix}")])
    if suffix == ".pth":
        state_dict = torch.load(tmp_path / "part.pth", weights_only=True)
    else:
        state_dict = safetensors.torch.load_file(tmp_path / "part.safetensors")
    model = declouds.load_model(path)
    network = REFERENCES.build(read_weights(path).config["reference"])
    network.load_state_dict(state_dict, strict=True)
    cloudy = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        assert torch.equal(network.eval()(cloudy), model.predict(cloudy))


def test_what_cannot_be_exported(imported, tmp_path, fails):
    path = imported()
    export = ("weights", "export", path, "--part")
    assert "no part 'fusion' with weights: it has reference" in fails(*export, "fusion", "-o", tmp_path / "f.pth")
    assert "f.onnx: give a name that ends in .safetensors or .pth" in fails(
        *export, "reference", "-o", tmp_path / "f.onnx"
    )
    (tmp_path / "f.pth").write_text("mine")
    assert "give --overwrite" in fails(*export, "reference", "-o", tmp_path / "f.pth")


def test_a_wrong_name_of_the_output_is_told_before_anything_is_read_or_fetched(one_entry, tmp_path, fails):
    one_entry(urls=((tmp_path / "web" / "absent.pth").as_uri(),))
    message = fails("weights", "export", "tiny", "--part", "reference", "-o", tmp_path / "f.onnx")
    assert "give a name that ends in .safetensors or .pth" in message
    for name in ("f.pth", "f"):
        message = fails("weights", "import", tmp_path / "absent.pth", "--as", "msda", "-o", tmp_path / name)
        assert f"{name}: give a name that ends in .safetensors" in message


def test_files_can_be_read_by_others(imported, tmp_path):
    assert imported().stat().st_mode & 0o777 == (tmp_path / "spa_gan.pth").stat().st_mode & 0o777
