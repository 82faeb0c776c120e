"""Every config is read and built, and every part of a config is used by one."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

import declouds.models  # noqa: F401 (registers the models)
from declouds.engine.config import REQUIRED, load_config
from declouds.engine.stage import read_stages
from declouds.errors import UserError
from declouds.registry import DATAMODULES, LOSSES

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))
COMPLETE = [path for path in FILES if "_base_" not in path.parts]


def bases_of(path):
    """Return every file that a config is made of, itself included."""
    bases = Config._get_base_files(str(path))
    return {path.resolve()}.union(*(bases_of((path.parent / base).resolve()) for base in bases))


def test_there_are_configs_for_every_data_set():
    assert {"de_cuhkcr_thick", "de_cuhkcr_thin", "de_rice1", "de_rice2", "de_simulated"} <= {p.stem for p in COMPLETE}


def test_every_base_is_part_of_a_complete_config():
    used = set().union(*map(bases_of, COMPLETE))
    assert sorted(str(path.relative_to(CONFIGS)) for path in FILES if path.resolve() not in used) == []


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_config_is_read_and_built(path):
    config = load_config(path)
    assert set(REQUIRED) <= set(config)
    stages = read_stages(config.stages)
    data = DATAMODULES.build(config.datamodule)
    bands = len(data.band_names)
    model = MODELS.build({"bands": bands, **config.model})
    assert model.bands == bands
    parts = {part for part in model.existing_parts() if any(True for _ in getattr(model, part).parameters())}
    trained = {part for stage in stages for part in stage.train}
    given = set() if config.get("reference_weights", "train") == "train" else {"reference"}
    assert parts - given <= trained, "a part that has weights is trained by no stage"
    for stage in stages:
        for loss in stage.losses:
            LOSSES.build({key: value for key, value in loss.items() if key != "weight"})


def test_an_unknown_stage_key_is_an_error():
    config = load_config(COMPLETE[0])
    config.stages[0]["learning_rate"] = 1
    with pytest.raises(UserError, match="unknown key 'learning_rate'"):
        read_stages(config.stages)


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
    with pytest.raises(UserError, match=r"broken\.py cannot be read as a config: "):
        load_config(tmp_path / "broken.py")
    (tmp_path / "half.py").write_text("model = dict()")
    with pytest.raises(UserError, match=r"half\.py lacks datamodule, stages"):
        load_config(tmp_path / "half.py")
