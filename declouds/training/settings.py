"""What the stages of a run share."""

import json
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from declouds.errors import UserError
from declouds.models import build_model, model_class
from declouds.registry import DATAMODULES


@dataclass(frozen=True)
class Settings:
    """What the stages of a run share.

    Args:
        config: the resolved config.
        datamodule: the data, set up for training.
        model_config: the model's config, bands and units filled in.
        learned: the parts of the model that have weights.
        launcher: ``none``, ``pytorch`` or ``slurm``.
    """

    config: Config
    datamodule: Any
    model_config: dict[str, Any]
    learned: frozenset[str]
    launcher: str

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config.get("seed", 0)


def settings_of(config: Config, launcher: str) -> Settings:
    """Set the data up, complete the model's config, and build the model once to check it.

    Raises:
        UserError: data or model cannot be built, or do not fit together.
    """
    datamodule = DATAMODULES.build(config.datamodule)
    datamodule.setup("fit")
    model_config = _with_bands_and_units(plain(config.model), datamodule)
    model = build_model(model_config)
    learned = frozenset(part for part in model.existing_parts() if list(getattr(model, part).parameters()))
    return Settings(config, datamodule, model_config, learned, launcher)


def plain(config: Any) -> Any:
    """Turn MMEngine's ConfigDict into plain dicts and lists."""
    return json.loads(json.dumps(config))


def without_places(config: dict[str, Any], datamodule: Any) -> dict[str, Any]:
    """Return the config of a data module without the entries that say where its data are and how they are read."""
    return {key: value for key, value in config.items() if key not in getattr(datamodule, "places", ())}


def _with_bands_and_units(config: dict[str, Any], data: Any) -> dict[str, Any]:
    """Return the model's config with bands and units filled in from the data.

    Raises:
        UserError: the config says other bands than the data have, or what a stage says.
    """
    sample = data.train_dataset[0]
    counts = {"bands": len(sample["clear"]), "in_bands": len(sample["cloudy"])}
    for key, count in counts.items():
        if config.get(key) not in (None, count):
            raise UserError(f"the model has {key}={config[key]} but the data have {count}: make them agree")
    for key in model_class(config).stage_entries:
        if key in config:
            raise UserError(f"{key} belongs to a stage, not to the model: move it there")
    more = {} if counts["in_bands"] == counts["bands"] else {"in_bands": counts["in_bands"]}
    units = (data.value_range.low, data.value_range.high)
    return {"bands": data.bands, "value_range": units, "band_names": list(data.band_names), **more, **config}
