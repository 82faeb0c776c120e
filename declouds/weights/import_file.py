"""Official weights in: one file of ours, a whole model with its record, out of one of theirs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from declouds.download import file_digest
from declouds.errors import UserError
from declouds.value_range import ValueRange
from declouds.weights.file import WeightsFile, check_output, read_weights, save_weights
from declouds.weights.official import checked_order, import_official

RGB = ("red", "green", "blue")


def import_file(
    path: Path,
    kind: str,
    output: Path,
    *,
    channel_order: str | None = None,
    reference: Path | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    band_names: Sequence[str] | None = None,
    about: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> WeightsFile:
    """Turn an official state dict into a weights file that describes itself, and return what was written.

    Args:
        path: the official file.
        kind: see `import_official`.
        output: the ``.safetensors`` file to write.
        channel_order: see `import_official`; our network takes and gives RGB, whatever it was.
        reference: for ``de``, whose files hold no reference: the imported weights of the one it was trained with.
        value_range: sensor values that stand for the darkest and the brightest the network knows.
        band_names: names of the bands in our order; red, green, blue if there are three.
        about: more for the record.
        overwrite: replace ``output`` if it exists.

    Raises:
        UserError: before anything is written: the output is taken, or an argument or a file is not what it must be.
    """
    check_output(output, overwrite)
    ValueRange(*value_range)
    order = checked_order(kind, channel_order)
    if (kind == "de") != (reference is not None):
        raise UserError(
            "official DE weights hold no reference: import that first (--as mpr_net or msda), then --reference FILE"
            if kind == "de"
            else f"--reference goes with --as de, not with --as {kind}"
        )
    network, state_dict = import_official(path, kind, order)
    record: dict[str, Any] = dict(
        imported=dict(kind=kind, file=path.name, sha256=file_digest(path), channel_order=order),
        **(about or {}),
    )
    if reference is None:
        config = dict(type="OnePass", reference=network, bands=network["bands"])
        state_dict = {f"reference.{key}": value for key, value in state_dict.items()}
    else:
        config, prior = _with_reference(network, reference)
        record["reference"] = prior.record
        state_dict |= {key: value for key, value in prior.state_dict.items() if key.startswith("reference.")}
    config |= dict(value_range=list(value_range), band_names=_names(band_names, config["bands"]))
    save_weights(output, config, state_dict, record, overwrite)
    return WeightsFile(config, state_dict, record)


def _with_reference(network: dict[str, Any], reference: Path) -> tuple[dict[str, Any], WeightsFile]:
    """Return the config of the whole Diffusion Enhancement, and what the reference's file holds."""
    prior = read_weights(reference)
    bands = network["denoiser"]["bands"]
    if "reference" not in prior.config or prior.config.get("bands") != bands:
        raise UserError(f"{reference} is no reference of {bands} bands: import the right one")
    config = network | dict(
        reference=prior.config["reference"],
        noise_schedule=dict(type="LinearSchedule"),
        sampler=dict(type="DDIM", steps=10),
        bands=bands,
    )
    return config, prior


def _names(given: Sequence[str] | None, bands: int) -> list[str]:
    if given is None:
        return list(RGB) if bands == len(RGB) else []
    if len(given) != bands:
        raise UserError(f"--band-names names {len(given)} bands, but the network has {bands}: name each, in order")
    return list(given)
