"""The comparison of references, on a budget of two iterations."""

import json
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

BUDGET = """
num_workers = 0
ema = dict(decay=0.9)
val = dict(images=1, panels=1, tile=24, overlap=8)
datamodule = dict(type="Simulated", size=32, train=2, val=1, test=2)
_size = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
model = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **_size),
    reference=dict(type="Identity"),
    fusion=dict(type="WeightAllocation", **_size),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=2),
)
denoiser_weights = "replaced.safetensors"
reference_stages = [dict(name="reference", train=["reference"], iterations=2, batch_size=1, lr=1e-3, crop=16)]
stages = [dict(name="fusion", train=["fusion"], iterations=2, batch_size=1, lr=1e-3, crop=16)]
"""
RECIPES = {
    "haze": """
model = dict(reference=dict(type="GainOffsetUNet", base=8, multipliers=(1, 2), blocks=1, attention_at=()))
reference_stages = [dict(name="reference", train=["reference"], iterations=10**6, batch_size=8, lr=1e-4)]
""",
    "spa": """
model = dict(reference=dict(type="SpAGAN", features=4))
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=10**6,
        batch_size=8,
        lr=1e-4,
        losses=[dict(type="MSE"), dict(type="MSE", of="attention")],
        discriminator=dict(type="PatchDiscriminator", base=8, halvings=1),
        adversarial_loss=dict(type="SoftplusGAN"),
    )
]
""",
}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool, with two small recipes, and without LPIPS."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import compare_references

    recipes = tmp_path / "recipes"
    recipes.mkdir()
    for name, text in RECIPES.items():
        (recipes / f"{name}.py").write_text(text)
    monkeypatch.setattr(compare_references, "RECIPES", recipes)
    monkeypatch.setattr(compare_references, "SIDE", 32)
    monkeypatch.setattr("declouds.metrics.lpips_net.load_lpips", lambda weights=None: None)
    return compare_references


@pytest.fixture
def arguments(tmp_path):
    """Arguments of a comparison whose denoiser is not trained."""
    from declouds.engine.config import load_config
    from declouds.models import build_model
    from declouds.weights.file import save_weights

    budget, weights = tmp_path / "budget.py", tmp_path / "denoiser.safetensors"
    budget.write_text(BUDGET)
    torch.manual_seed(0)
    config = load_config(budget).model.to_dict()
    save_weights(weights, config, build_model(config).state_dict(), {})
    return ["--config", str(budget), "--denoiser-weights", str(weights), "--out", str(tmp_path / "out")]


@pytest.fixture
def commands(monkeypatch):
    """What the tool asks of `declouds`, each command noted and answered by the files it would have written."""
    asked = []

    def declouds(words):
        asked.append(words)
        if words[0] == "train":
            folder = Path(words[words.index("--work-dir") + 1])
            folder.mkdir(exist_ok=True)
            (folder / "model.safetensors").write_text("trained")
        else:
            folder = Path(words[words.index("--out") + 1])
            folder.mkdir(exist_ok=True)
            (folder / "results.json").write_text(json.dumps(RESULTS))

    monkeypatch.setattr("declouds.cli.main", declouds)
    return asked


def _summary(psnr):
    interval = dict(mean=psnr, low=psnr - 1, high=psnr + 1)
    return {"official.psnr": interval, "official.ssim": dict(mean=0.5), "standard.psnr": interval}


RESULTS = dict(
    methods=dict(prior=dict(summary=_summary(20)), DE=dict(summary=_summary(21))),
    differences={"DE - prior": {"official.psnr": dict(mean=1, low=-0.25, high=2)}},
)
COST = dict(parameters=2_500_000, prior=dict(gflops=3.2, seconds=0.5), de=dict(gflops=40, seconds=6))


def stopped(tool, arguments, capsys):
    """Return the one line of a refusal."""
    with pytest.raises(SystemExit) as stop:
        tool.main(arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("compare_references: ")
    return line


def test_every_reference_is_trained_measured_and_tabulated(tool, arguments, tmp_path, capsys):
    tool.main(arguments)
    out = tmp_path / "out"
    head, rule, *rows = (out / "table.md").read_text().splitlines()
    assert [row.split("|")[1].strip() for row in rows] == ["haze", "spa"]
    assert head.count("|") == rule.count("|") == rows[0].count("|") == rows[1].count("|")
    for name, row in zip(("haze", "spa"), rows, strict=True):
        results = json.loads((out / name / "scores" / "results.json").read_text())
        cost = json.loads((out / name / "cost.json").read_text())
        assert f"{results['methods']['DE']['summary']['official.psnr']['mean']:.2f} [" in row
        assert f"{cost['parameters'] / 1e6:.2f} M" in row
        assert 0 < cost["prior"]["gflops"] < cost["de"]["gflops"]
    assert rows[0] in capsys.readouterr().out
    assert not list(out.rglob("*.partial*"))

    from declouds.engine.config import load_config

    (stage,) = load_config(out / "spa" / "config.py").reference_stages  # losses of the recipe, the rest of the budget
    assert [loss.get("of") for loss in stage.losses] == [None, "attention"]
    assert (stage.adversarial_loss.type, stage.iterations, stage.batch_size, stage.lr) == ("SoftplusGAN", 2, 1, 1e-3)


def test_what_is_finished_is_kept_and_what_is_half_done_goes_on(tool, arguments, commands, tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(tool, "cost", lambda weights: measured.append(weights) or COST)
    tool.main([*arguments, "--references", "haze"])
    assert [words[0] for words in commands] == ["train", "test"] and "--resume" not in commands[0]
    table = (tmp_path / "out" / "table.md").read_text()
    assert (
        "| 2.50 M | 3 / 40 | 0.50 / 6.00 | 20.00 [19.00, 21.00] | 21.00 [20.00, 22.00] | +1.00 [-0.25, +2.00]" in table
    )

    commands.clear()
    tool.main([*arguments, "--references", "haze"])
    assert commands == [] and len(measured) == 1 and (tmp_path / "out" / "table.md").read_text() == table

    folder = tmp_path / "out" / "haze"
    (folder / "run" / "model.safetensors").unlink()
    (folder / "run" / "config.py").write_text("")  # a run that was interrupted
    (folder / "scores" / "results.json").unlink()
    (folder / "scores" / "summary.csv").write_text("half")
    tool.main([*arguments, "--references", "haze"])
    train, test = commands
    assert "--resume" in train and "--overwrite" in test


def test_a_loss_is_left_out_and_the_table_says_so(tool, arguments, commands, tmp_path, monkeypatch):
    from declouds.engine.config import load_config

    (tmp_path / "recipes" / "spa.py").write_text(
        RECIPES["spa"].replace('dict(type="MSE"),', 'dict(type="Perceptual"),')
    )
    monkeypatch.setattr(tool, "cost", lambda weights: COST)
    tool.main([*arguments, "--without", "Perceptual"])
    rows = (tmp_path / "out" / "table.md").read_text().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["haze", "spa, without Perceptual"]
    (stage,) = load_config(tmp_path / "out" / "spa" / "config.py").reference_stages
    assert [loss.to_dict() for loss in stage.losses] == [dict(type="MSE", of="attention")]


@pytest.mark.parametrize("changed", ["--denoiser-weights", "--config", "--root"])
def test_a_folder_of_other_arguments_is_refused(changed, tool, arguments, commands, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "cost", lambda weights: COST)
    tool.main([*arguments, "--references", "spa"])
    before = (tmp_path / "out" / "spa" / "config.py").read_text()
    commands.clear()
    (tmp_path / "data").mkdir()
    (tmp_path / "other.safetensors").write_text("")
    (tmp_path / "other.py").write_text(BUDGET.replace("iterations=2", "iterations=3"))
    value = {"--denoiser-weights": "other.safetensors", "--config": "other.py", "--root": "data"}[changed]
    line = stopped(tool, [*arguments, changed, str(tmp_path / value)], capsys)  # all of them, `spa` the last
    assert re.search(r"spa.config\.py is not what --config, --root, .* remove .*spa$", line)
    assert commands == [] and not (tmp_path / "out" / "haze").exists()
    assert (tmp_path / "out" / "spa" / "config.py").read_text() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--denoiser-weights", "absent"], "--denoiser-weights absent does not exist: declouds train"),
        (["--without", "perceptual"], "no loss is called 'perceptual': did you mean 'Perceptual'?"),
        (["--root", "absent"], "--root absent does not exist: give the folder"),
        (["--config", "absent.py"], "absent.py does not exist: give the path of a config"),
        (["--config", str(ROOT / "configs" / "de_simulated.py")], "one entry in reference_stages"),
    ],
)
def test_bad_arguments_are_told_in_one_line_and_nothing_is_written(
    more, message, tool, arguments, commands, tmp_path, capsys
):
    assert message in stopped(tool, [*arguments, *more], capsys)
    assert commands == [] and not (tmp_path / "out").exists()


def test_a_reference_without_a_recipe_is_refused(tool, arguments, commands, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([*arguments, "--references", "haze", "spagan"])
    assert stop.value.code == 2
    assert "invalid choice: 'spagan' (choose from" in capsys.readouterr().err
    assert commands == [] and not (tmp_path / "out").exists()
