"""Tables reproduced: what passes, what fails, what is missing, and what is measured again."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from declouds.cli import main
from declouds.datamodules.pairs import pairs_in
from declouds.datamodules.splits import digest
from declouds.evaluation import lpips_net
from declouds.experiments.reproduce.data_check import pixels_digest
from declouds.image_io import read_image, write_image

SHIFTED_BY_30 = 20 * math.log10(255 / 30)  # PSNR
SIZE = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
MODEL = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **SIZE),
    reference=dict(type="Identity"),
    fusion=dict(type="FixedWeight", weight=0.9),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=2),
)
STAGE = dict(name="denoiser", train=["denoiser"], iterations=1, batch_size=1, lr=1e-3)
CLOUDY = (
    'name = "cloudy"\nfigures = [{{ method = "cloudy", metric = "official.psnr", expected = {}, tolerance = 0.001 }}]'
)
RUN = """name = "small"
run = "small"
training = "a second"
figures = [
    { method = "prior", metric = "official.psnr", expected = 18.588, tolerance = 0.001 },
    { method = "DE", metric = "official.psnr", expected = 18.0, tolerance = 3.0 },
]"""


@pytest.fixture(autouse=True)
def alone_and_offline(monkeypatch, tmp_path):
    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(lpips_net, "URL", "http://127.0.0.1:9/alexnet.pth")
    monkeypatch.setattr("declouds.cli.COMMANDS", ("train", "reproduce"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))  # of the process that trains
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path):
    """Three test pairs and two to train on, the cloudy one 30 levels brighter."""
    random = np.random.default_rng(0)
    for index in range(5):
        clear = random.integers(20, 200, (3, 24, 32), dtype=np.uint8)
        for name, image in (("label", clear), ("cloud", clear + 30)):
            (tmp_path / "pairs" / name).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "pairs" / name / f"{index}.png", image)
    (tmp_path / "pairs" / "split.json").write_text('{"train": ["0", "4"], "test": ["1", "2", "3"]}')
    datamodule = dict(type="PairedFolder", root="elsewhere", val=None)
    text = f"model = {MODEL}\ndatamodule = {datamodule}\nstages = [{STAGE}]\nnum_workers = 0\nema = dict(decay=0.5)\n"
    (tmp_path / "config.py").write_text(text)
    return tmp_path / "pairs"


@pytest.fixture
def table(tmp_path, data):
    """Return a function that writes a table of these rows, with the digests of the data as they are now."""
    pairs = {pair.name: pair for pair in pairs_in(data)}
    parts = ""
    for part, names in dict(train=["0", "4"], test=["1", "2", "3"]).items():
        pixels = pixels_digest([pairs[name] for name in names])
        parts += f'[data.pairs.parts.{part}]\nimages = {len(names)}\nnames = "{digest(names)}"\npixels = "{pixels}"\n'

    def write(*rows):
        common = 'title = "a row"\nconfig = "config.py"\ndata = "pairs"\n'
        text = 'format = 1\nabout = "a table for tests"\n[data.pairs]\ntitle = "five pairs"\nroot = "data/pairs"\n'
        text += 'source = "https://example.org/pairs"\nfetch = ["fetch pairs to data/pairs"]\n' + parts
        (tmp_path / "tiny.toml").write_text(text + "".join(f"[[rows]]\n{common}{row}\n" for row in rows))

    return write


def save(tmp_path, draw=0, **record):
    """Write the weights of a run, as if it were trained by the config."""
    from declouds.registry import MODELS
    from declouds.weights.file import save_weights

    torch.manual_seed(draw)
    state = {key: value + 0.05 * torch.randn_like(value) for key, value in MODELS.build(MODEL).state_dict().items()}
    splits = dict(train=dict(count=2, digest=digest(["0", "4"])))
    told = dict(stages=[STAGE], seed=0, precision="fp32", splits=splits) | record
    (tmp_path / "work_dirs" / "small").mkdir(parents=True, exist_ok=True)
    save_weights(tmp_path / "work_dirs" / "small" / "model.safetensors", MODEL, state, told, overwrite=True)


def reproduce(capsys, *arguments, data=None):
    """Return exit code and what was printed."""
    given = ["--data", f"pairs={data}"] if data else []
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "tiny.toml", "--device", "cpu", *given, *map(str, arguments)])
    printed = capsys.readouterr()
    return stop.value.code, printed.out + printed.err


def results(tmp_path, row):
    return json.loads((tmp_path / "reproduced" / "tiny" / row / "results.json").read_text())


def test_a_figure_within_its_tolerance_passes_and_is_kept(table, data, tmp_path, capsys):
    table(CLOUDY.format(18.588))
    code, printed = reproduce(capsys, data=data)
    assert code == 0 and "measuring cloudy, 3 images" in printed and "1 rows: 1 PASS." in printed
    assert results(tmp_path, "cloudy")["methods"]["cloudy"]["summary"]["official.psnr"]["mean"] == pytest.approx(
        SHIFTED_BY_30
    )
    markdown = (tmp_path / "reproduced" / "tiny" / "tiny.md").read_text()
    assert "| cloudy | cloudy | official.psnr | - | 18.588 ± 0.001 | 18.588 [18.588, 18.588] | PASS |" in markdown
    code, printed = reproduce(capsys, data=data)
    assert code == 0 and "results are kept" in printed and "measuring" not in printed


def test_a_figure_outside_its_tolerance_fails_and_the_others_are_measured(table, data, capsys):
    table(CLOUDY.format(18.5), CLOUDY.format(18.588).replace('"cloudy"\n', '"again"\n'))
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "2 rows: 1 PASS, 1 FAIL." in printed
    assert reproduce(capsys, "--rows", "again", data=data)[0] == 0


def test_a_row_without_an_expected_value_cannot_pass(table, data, capsys):
    figure = '{ method = "cloudy", metric = "official.psnr", published = 20.0 }'
    table(f'name = "cloudy"\nsource = "a paper"\nfigures = [{figure}]')
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "NO EXPECTATION" in printed and "20.000" in printed and "18.588" in printed
    assert "cloudy: published: a paper" in printed


def test_lpips_is_missing_where_its_weights_are_and_the_row_still_passes(table, data, capsys):
    lpips = ', { method = "cloudy", metric = "official.lpips", expected = 0.1, tolerance = 0.1 }]'
    table(CLOUDY.format(18.588)[:-1] + lpips)
    code, printed = reproduce(capsys, data=data)
    assert code == 0 and "MISSING" in printed and "give AlexNet's layers by --lpips-weights" in printed


def test_missing_data_are_told_how_to_fetch(table, tmp_path, capsys):
    table(CLOUDY.format(18.588))
    code, printed = reproduce(capsys)
    assert code == 3 and "cloudy: missing: data/pairs is not there" in printed
    assert "https://example.org/pairs" in printed and "    fetch pairs to data/pairs\n" in printed
    assert "--data pairs=FOLDER" in printed
    assert not (tmp_path / "reproduced" / "tiny" / "cloudy").exists()


def test_a_wrong_copy_of_the_data_fails(table, data, tmp_path, capsys):
    table(CLOUDY.format(18.588))
    image = read_image(data / "label" / "2.png")
    image[0, 0, 0] += 1  # one byte
    write_image(data / "label" / "2.png", image, overwrite=True)
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "other pixels: their SHA-256 is" in printed and "1 rows: 1 FAIL." in printed
    assert not (tmp_path / "reproduced" / "tiny" / "cloudy").exists()
    (data / "label" / "2.png").write_bytes((data / "label" / "2.png").read_bytes()[:200])
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "2.png" in printed


def test_another_list_of_images_fails(table, data, capsys):
    table(CLOUDY.format(18.588))
    (data / "split.json").write_text('{"train": ["0"], "test": ["1", "2", "4"]}')
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "the list of test images is another one" in printed


def test_the_same_pixels_in_other_files_are_the_same_data(table, data, capsys):
    table(CLOUDY.format(18.588))
    write_image(data / "label" / "2.tif", read_image(data / "label" / "2.png"))
    (data / "label" / "2.png").unlink()
    assert reproduce(capsys, data=data)[0] == 0


def test_missing_published_weights_are_told_where_to_put(table, data, tmp_path, capsys):
    zoo = 'name = "spa"\nzoo = "spa_gan_rice1"\nfigures = [{ method = "result", metric = "official.psnr" }]'
    table(zoo, CLOUDY.format(18.588))
    code, printed = reproduce(capsys, data=data)
    assert code == 0 and "2 rows: 1 PASS, 1 MISSING." in printed
    assert "spa: missing: spa_gan_rice1 is not in the cache" in printed
    assert "https://raw.githubusercontent.com/" in printed and str(tmp_path / "cache" / "weights") in printed
    assert reproduce(capsys, "--rows", "spa", data=data)[0] == 3


def test_a_run_that_is_not_trained_is_told_by_its_command(table, data, capsys):
    table(RUN)
    code, printed = reproduce(capsys, data=data)
    command = f"declouds train config.py --work-dir work_dirs/small --cfg-options datamodule.root={data}"
    assert code == 3 and command in printed and "training takes a second" in printed


def test_a_trained_run_is_measured_and_measured_again_when_its_weights_change(table, data, tmp_path, capsys):
    table(RUN)
    save(tmp_path)
    code, printed = reproduce(capsys, data=data)
    first = results(tmp_path, "small")
    assert code == 0 and "measuring small" in printed
    assert list(first["methods"]) == ["cloudy", "prior", "diffusion", "DE"]
    assert "results are kept" in reproduce(capsys, data=data)[1]
    save(tmp_path, draw=1)
    code, printed = reproduce(capsys, data=data)
    assert "measuring small" in printed
    assert results(tmp_path, "small")["methods"]["DE"] != first["methods"]["DE"]
    table("seed = 5\n" + RUN)
    assert "measuring small" in reproduce(capsys, data=data)[1]
    assert results(tmp_path, "small")["about"]["reproduce"]["seed"] == 5


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (dict(stages=[STAGE | dict(iterations=2)]), "another stage denoiser"),
        (dict(stages=[]), "another stage denoiser"),
        (dict(stages=[STAGE, STAGE | dict(name="more")]), "another stage more"),
        (dict(seed=1), r"another seed (1, not 0)"),
        (dict(splits={}), "another list of training images"),
    ],
)
def test_a_run_of_another_recipe_fails(table, data, tmp_path, capsys, record, told):
    table(RUN)
    save(tmp_path, **record)
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and told in printed and "of another recipe than config.py" in printed


def test_a_run_of_another_network_fails_and_the_other_rows_go_on(table, data, tmp_path, capsys):
    table("cfg_options = ['model.denoiser.base=16']\n" + RUN, CLOUDY.format(18.588))
    save(tmp_path)
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "2 rows: 1 PASS, 1 FAIL." in printed and "denoiser: base=8, not 16" in printed


def test_a_broken_weights_file_fails(table, data, tmp_path, capsys):
    table(RUN)
    save(tmp_path)
    file = tmp_path / "work_dirs" / "small" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    code, printed = reproduce(capsys, data=data)
    assert code == 1 and "truncated or no safetensors file" in printed


def test_training_is_done_when_asked_for(table, data, tmp_path, capfd):
    table(RUN)
    code, printed = reproduce(capfd, "--train", data=data)
    assert code == 0 and "row 1 of 1: declouds train config.py" in printed
    assert (tmp_path / "work_dirs" / "small" / "model.safetensors").is_file()
    code, printed = reproduce(capfd, "--train", data=data)
    assert code == 0 and "results are kept" in printed and "declouds train" not in printed


def test_training_that_fails_is_a_failed_row(table, data, tmp_path, capfd):
    table(RUN, CLOUDY.format(18.588))
    (tmp_path / "work_dirs" / "small").mkdir(parents=True)
    (tmp_path / "work_dirs" / "small" / "notes.txt").write_text("mine")
    code, printed = reproduce(capfd, "--train", data=data)
    assert code == 1 and "training stopped with exit code 2" in printed and "2 rows: 1 PASS, 1 FAIL." in printed


def test_the_plan_alone_measures_nothing(table, data, tmp_path, capsys):
    table(CLOUDY.format(18.588))
    main(["reproduce", "tiny.toml", "--data", f"pairs={data}", "--plan"])
    assert "ready" in capsys.readouterr().out and not (tmp_path / "reproduced").exists()


def test_results_of_others_are_not_replaced(table, data, tmp_path, capsys):
    table(CLOUDY.format(18.588))
    folder = tmp_path / "out" / "cloudy"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"about": {}}')
    code, printed = reproduce(capsys, "--out", tmp_path / "out", data=data)
    assert code == 2 and "results.json is damaged or not of declouds reproduce" in printed
    assert (folder / "results.json").read_text() == '{"about": {}}'


def test_bad_arguments_are_told_before_anything_is_done(table, data, tmp_path, capsys):
    table(CLOUDY.format(18.588))
    for arguments, told in (
        (["--rows", "clowdy"], "table tiny has no row clowdy: its rows are cloudy"),
        (["--data", "rice9=."], "has no such data set, only pairs"),
        (["--data", "pairs=absent"], "--data pairs=absent: there is no such folder"),
        (["--data", "pairs"], "give NAME=FOLDER"),
        (["--device", "nowhere"], "device 'nowhere' is not available here"),
        (["--out", str(tmp_path / "config.py")], "is a file"),
    ):
        code, printed = reproduce(capsys, *arguments)
        assert code == 2 and told in printed, arguments
    (tmp_path / "config.py").unlink()
    code, printed = reproduce(capsys)
    assert code == 2 and "row cloudy needs config.py, which is not here" in printed
    assert not (tmp_path / "reproduced").exists()
