"""Every config is read and built, and every part of a config is used by one."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from declouds.datamodules.folder_sources import folder_sources
from declouds.datamodules.pair_sources import with_flags
from declouds.errors import UserError
from declouds.models import OnePass, model_class
from declouds.models.one_pass import build_loss
from declouds.registry import DATAMODULES, DISCRIMINATORS, MODELS
from declouds.sources import image_source
from declouds.training.config import REQUIRED, load_config
from declouds.training.stage import read_stages
from declouds.value_range import ValueRange

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))
SWEEPS = sorted((CONFIGS / "ablations").glob("*.py"))
COMPLETE = [path for path in FILES if "_base_" not in path.parts and path not in SWEEPS]
RECIPES = sorted(path.stem for path in (CONFIGS / "_base_" / "references").glob("*.py"))
PAIRS = dict(cuhkcr_thick=448, cuhkcr_thin=534, rice1=400, rice2=588)  # to train on
OF_200_EPOCHS = {"amgan_cr", "cvae", "msda", "spa_gan"}


@pytest.fixture(autouse=True)
def perceptual_weights(vgg16_weights, monkeypatch):
    monkeypatch.setenv("DECLOUDS_VGG16_WEIGHTS", str(vgg16_weights))


def stages_of(config):
    return read_stages([*config.get("reference_stages", []), *config.stages], model_class(config.model))


def bases_of(path):
    """Return every file that a config is made of, itself included."""
    bases = Config._get_base_files(str(path))
    return {path.resolve()}.union(*(bases_of((path.parent / base).resolve()) for base in bases))


def inputs_of(data):
    """Return the sources of the input as training fills them in from the data; nothing if the image is alone."""
    image = image_source(len(data.band_names), data.band_names, ValueRange(0, 1))
    published = data.kwargs.get("data_set")
    more = published.sources if published else [one.source(image) for one in folder_sources(data.kwargs.get("sources"))]
    sources = [image, *with_flags(more, data.kwargs.get("drop") or {})] if more else []
    return dict(inputs=[source.config() for source in sources]) if more else {}


def test_there_are_configs_for_every_data_set():
    names = {path.stem for path in COMPLETE}
    assert {"de_cuhkcr_thick", "de_cuhkcr_thin", "de_rice1", "de_rice2", "de_simulated"} <= names
    assert {"bridge_cuhkcr_thick", "bridge_cuhkcr_thin", "bridge_rice1", "bridge_rice2"} <= names


def test_every_base_is_part_of_a_complete_config():
    used = set().union(*map(bases_of, COMPLETE))
    parts = [path for path in FILES if path not in SWEEPS]
    assert sorted(str(path.relative_to(CONFIGS)) for path in parts if path.resolve() not in used) == []


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_config_is_read_and_built(path):
    config = load_config(path)
    assert set(REQUIRED) <= set(config)
    stages = stages_of(config)
    data = DATAMODULES.build(config.datamodule)
    bands = len(data.band_names)
    with torch.device("meta" if config.model.type == "OnePass" else "cpu"):  # without weights it takes no time
        model = MODELS.build({"bands": bands, **inputs_of(data), **config.model})
    assert model.bands == bands
    parts = {part for part in model.existing_parts() if any(True for _ in getattr(model, part).parameters())}
    trained = {part for stage in stages for part in stage.train}
    given = {part for part in ("reference", "denoiser") if config.get(f"{part}_weights", "train") != "train"}
    assert parts - given <= trained, "a part that has weights is trained by no stage"
    for stage in stages:
        for loss in stage.options.get("losses", ()):
            assert getattr(build_loss(loss), "takes", "images") == (
                "latent" if loss.get("of") == "latent" else "images"
            )
        if "discriminator" in stage.options:
            DISCRIMINATORS.build(stage.options["discriminator"])
            assert build_loss(stage.options["adversarial_loss"]).takes == "logits"
        for scheduler in stage.param_scheduler:
            if "T_max" in scheduler:
                assert scheduler.get("begin", 0) + scheduler["T_max"] == stage.iterations


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_cells_of_a_sweep_are_configs(path, tmp_path):
    from declouds.experiments.sweep_file import read_sweep

    cells = read_sweep(path).cells(tmp_path)
    assert len(cells) > 1
    for cell in cells:
        config = Config(cell.config)
        stages = stages_of(config)
        denoiser = dict(type="ConditionalUNet", base=8, predicts=config.model.denoiser.get("predicts", "noise"))
        model = MODELS.build({"bands": 3, **config.model, "denoiser": denoiser})
        parts = {part for part in model.existing_parts() if any(True for _ in getattr(model, part).parameters())}
        given = {part for part in ("reference", "denoiser") if config.get(f"{part}_weights", "train") != "train"}
        assert parts - given <= {part for stage in stages for part in stage.train}


def test_the_reference_sweep_has_every_recipe(tmp_path):
    from declouds.experiments.sweep_file import read_sweep

    cells = {
        cell.name: cell.config for cell in read_sweep(CONFIGS / "ablations" / "reference_models.py").cells(tmp_path)
    }
    assert set(RECIPES) <= set(cells)
    for name in RECIPES:
        recipe = load_config(CONFIGS / "references" / f"{name}_rice1.py")
        assert cells[name]["model"]["reference"] == recipe.model.reference.to_dict()
        (stage,) = cells[name]["reference_stages"]
        assert stage.get("losses") == recipe.reference_stages[0].to_dict().get("losses")
        assert stage["iterations"] == 300


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_reference_has_a_config_for_every_data_set(recipe):
    for data, pairs in PAIRS.items():
        config = load_config(CONFIGS / "references" / f"{recipe}_{data}.py")
        assert (config.model.type, config.stages) == ("OnePass", [])
        (stage,) = config.reference_stages
        assert recipe not in OF_200_EPOCHS or (stage.iterations, stage.batch_size) == (200 * pairs // 2, 2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_losses_of_a_recipe_are_of_what_its_network_gives(recipe):
    config = load_config(CONFIGS / "references" / f"{recipe}_rice1.py")
    torch.manual_seed(0)
    model = OnePass(reference=config.model.reference, losses=config.reference_stages[0].losses)
    cloudy, clear = torch.rand(2, 1, 3, 32, 32) * 1.8 - 0.9
    with torch.no_grad():
        losses = model.losses(cloudy, clear, ["a"])
    assert len(losses) == len(config.reference_stages[0].losses)
    assert all(torch.isfinite(value) for value in losses.values())


def test_a_recipe_of_the_authors_gives_their_loss_of_images_from_0_to_1():
    """Worked out as their trainers do, for images in [0, 1] that are 0.1 apart: 100 L1, or 1.2 SmoothL1."""
    clear = torch.linspace(-0.9, 0.5, 3 * 16 * 16).reshape(1, 3, 16, 16)
    cloudy = clear + 2 * 0.1
    expected = dict(spa_gan=100 * 0.1, amgan_cr=10 * 0.1, msda=1.2 * 0.1**2 / 2, cvae=0.1**2 / (2 * 0.5))
    for recipe, value in expected.items():
        (stage,) = load_config(CONFIGS / "references" / f"{recipe}_rice1.py").reference_stages
        model = OnePass(reference=dict(type="Identity"), losses=stage.losses[:1])
        (loss,) = model.losses(cloudy, clear, ["a"]).values()
        assert loss.item() == pytest.approx(value, rel=1e-4), recipe


def test_an_unknown_stage_key_is_an_error():
    config = load_config(COMPLETE[0])
    config.stages[-1]["learning_rate"] = 1
    with pytest.raises(UserError, match="unknown key 'learning_rate'"):
        read_stages(config.stages, model_class(config.model))


def test_the_official_network_has_the_official_size():
    model = MODELS.build(load_config(CONFIGS / "de_cuhkcr_thick.py").model)
    sizes = {part: sum(p.numel() for p in getattr(model, part).parameters()) / 1e6 for part in ("denoiser", "fusion")}
    assert sizes == {"denoiser": pytest.approx(32.14, abs=0.01), "fusion": pytest.approx(4.66, abs=0.01)}


def test_overrides_reach_into_a_config():
    path = CONFIGS / "de_simulated.py"
    config = load_config(path, ["model.eta=0.5", "datamodule.train=7", "stages.0.lr=0.25"])
    assert (config.model.eta, config.datamodule.train, config.stages[0]["lr"]) == (0.5, 7, 0.25)
    with pytest.raises(UserError, match=r"takes KEY=VALUE, got 'model\.eta'"):
        load_config(path, ["model.eta"])


def test_a_config_that_is_not_there_or_not_complete_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.py does not exist: give the path of a config file"):
        load_config(tmp_path / "absent.py")
    (tmp_path / "broken.py").write_text("model = dict(")
    with pytest.raises(UserError, match=r"broken\.py is not a readable config: "):
        load_config(tmp_path / "broken.py")
    (tmp_path / "half.py").write_text("model = dict()")
    with pytest.raises(UserError, match=r"half\.py lacks datamodule, stages"):
        load_config(tmp_path / "half.py")
