"""What bands are, by the names that sensors give them: words such as ``red`` and ``swir1``, which have a wavelength."""

import re
from collections.abc import Sequence

from declouds.wavelengths import CENTRES, KNOWN

LANDSAT8 = dict(srb1="coastal", srb2="blue", srb3="green", srb4="red", srb5="nir08", srb6="swir1", srb7="swir2")
LANDSAT4 = dict(srb1="blue", srb2="green", srb3="red", srb4="nir", srb5="swir1", srb7="swir2")  # and 5 and 7
OF_SENTINEL2 = {"b8a", "b08", "b12"}  # which no other sensor has
OF_OTHERS = {"b05", "b06", "b07", "b09", "b10", "b11"}  # which Landsat has too: in HLS, its B05 is near infrared
_WORDS = {wavelength: word for word, wavelength in CENTRES.items()}
_KNOWN = {re.sub(r"\W|_", "", name): _WORDS[wavelength] for name, wavelength in KNOWN.items()}


def spectral_words(names: Sequence[str | None], red: str | None = None) -> list[str | None]:
    """Return what each band of a file is, as a word of `declouds.wavelengths.CENTRES`; None if its name says none.

    A name may hold more, as ``S2 B08 10m``, if all words of it that are known mean one band. What two sensors give to
    different bands counts if other names tell the sensor: B4 and B05 beside B8A, B08 or B12 (Sentinel-2), SR_B4 beside
    SR_B6, or where it is the red band (Landsat 8 and 9), or where SR_B3 is that (Landsat 4 to 7).

    Args:
        names: of all bands of the file.
        red: the name of the red one, if that is known otherwise.
    """
    known = _KNOWN | _of_sensor(names, red)
    return [_word(_words(name), known) for name in names]


def _of_sensor(names: Sequence[str | None], red: str | None) -> dict[str, str]:
    """Return what names mean by the sensor that they are of; nothing, if another one may have them too."""
    if OF_SENTINEL2 & {word for name in names for word in _words(name)}:
        return {f"b{number}": _KNOWN[f"b0{number}"] for number in range(1, 10)}
    unknown = dict.fromkeys(OF_OTHERS, "")
    if "srb6" in {"".join(_words(name)) for name in names} or "".join(_words(red)) == "srb4":
        return unknown | LANDSAT8
    return unknown | LANDSAT4 if "".join(_words(red)) == "srb3" else unknown


def _word(words: Sequence[str], known: dict[str, str]) -> str | None:
    """Return what the words of a name mean together, else what those that are known mean, if that is one band."""
    if together := known.get("".join(words)):
        return together
    found = {known[word] for word in words if known.get(word) and (word != "red" or "edge" not in words)}
    return found.pop() if len(found) == 1 else None


def _words(name: str | None) -> list[str]:
    return re.findall(r"[a-z0-9]+", (name or "").casefold())
