"""Official weights in: one file of ours, a whole model with its record, out of one of theirs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.value_range import ValueRange
from declouds.weights.file import WeightsFile, check_output, model_of, read_weights, save_weights
from declouds.weights.kinds.official import checked_order, import_official

BYTES = (0.0, 255.0)
RGB = ("red", "green", "blue")


class ImageBands(NamedTuple):
    """The sensor values that stand for -1 and 1, and the names of the bands."""

    value_range: tuple[float, float]
    band_names: tuple[str, ...]


def import_file(
    path: Path,
    kind: str,
    output: Path,
    *,
    channel_order: str | None = None,
    parts: Mapping[str, Path] | None = None,
    value_range: tuple[float, float] | None = None,
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
        parts: for ``de``, whose files hold no reference: ``reference``, the imported weights of the one it was trained
            with.
        value_range: sensor values that stand for -1 and 1; if left out, those of the part, else 0 and 255.
        band_names: names of the bands in our order; if left out, those of the part, else red, green, blue if there are
            three.
        about: more for the record.
        overwrite: replace ``output`` if it exists.

    Raises:
        UserError: before anything is written: the output is taken, or an argument or a file is not what it must be.
    """
    check_output(output, overwrite, (".safetensors",))
    ValueRange(*(value_range or BYTES))
    order = checked_order(kind, channel_order)
    if set(parts or {}) != ({"reference"} if kind == "de" else set()):
        raise UserError(
            "official DE weights hold no reference: import that first (--as mpr_net or msda), then give it by "
            "--part reference=FILE"
            if kind == "de"
            else f"--part only applies to --as de, not to --as {kind}: leave it out"
        )
    reference = (parts or {}).get("reference")
    network, state_dict = import_official(path, kind, order)
    record: dict[str, Any] = dict(
        imported=dict(kind=kind, file=path.name, sha256=file_digest(path), channel_order=order),
        **(about or {}),
    )
    if reference is None:
        bands = network["bands"]
        config = dict(type="OnePass", reference=network, bands=bands)
        units = ImageBands(BYTES, RGB if bands == len(RGB) else ())
        state_dict = {f"reference.{key}": value for key, value in state_dict.items()}
    else:
        config, prior, units = _with_reference(network, reference)
        _check_units(value_range, band_names, units, reference)
        record["reference"] = prior.record
        state_dict |= {key: value for key, value in prior.state_dict.items() if key.startswith("reference.")}
    config |= dict(
        value_range=list(value_range or units.value_range),
        band_names=list(units.band_names) if band_names is None else _checked_names(band_names, config["bands"]),
    )
    save_weights(output, config, state_dict, record, overwrite)
    return WeightsFile(config, state_dict, record)


def _with_reference(network: dict[str, Any], reference: Path) -> tuple[dict[str, Any], WeightsFile, ImageBands]:
    """Return the config of the whole Diffusion Enhancement, what the reference's file holds, and its units."""
    prior = read_weights(reference)
    model = model_of(prior, str(reference))
    bands, in_bands = (network["denoiser"][key] for key in ("bands", "in_bands"))
    if not prior.config.get("reference") or (model.bands, model.in_bands) != (bands, in_bands):
        raise UserError(
            f"{reference} holds no reference that makes {bands} bands from {in_bands}: import the right one"
        )
    config = network | dict(
        reference=prior.config["reference"],
        noise_schedule=dict(type="LinearSchedule"),
        sampler=dict(type="DDIM", steps=10),
        bands=bands,
        in_bands=in_bands,
    )
    return config, prior, ImageBands((model.value_range.low, model.value_range.high), model.band_names)


def _check_units(
    value_range: tuple[float, float] | None, band_names: Sequence[str] | None, units: ImageBands, reference: Path
) -> None:
    """Refuse other units than the reference's: both networks see the same image."""
    low, high = units.value_range
    if value_range is not None and tuple(value_range) != (low, high):
        raise UserError(f"{reference} takes values from {low:g} to {high:g}: leave --value-range out, or give the same")
    if band_names is not None and units.band_names and tuple(band_names) != units.band_names:
        names = " ".join(units.band_names)
        raise UserError(f"{reference} takes the bands {names}: leave --band-names out, or give the same")


def _checked_names(given: Sequence[str], bands: int) -> list[str]:
    if len(given) != bands:
        raise UserError(f"--band-names names {len(given)} bands, but the network has {bands}: name each, in order")
    return list(given)
