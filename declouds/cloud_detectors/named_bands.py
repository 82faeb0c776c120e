"""Which band is which, by the names that a model gives them."""

from collections.abc import Sequence

# A colour, and the names that bands of it have without doubt: those of Sentinel-2 have two digits. B3 and B4 are left
# out, since Landsat's numbers changed with Landsat 8.
NAMES = {
    "red": ("red", "b04"),
    "green": ("green", "b03"),
    "blue": ("blue", "b02"),
    "nir": ("nir", "nir08", "near infrared", "b08", "b8a"),
    "swir16": ("swir16", "swir1", "b11"),
    "swir22": ("swir22", "swir2", "b12"),
}


def find_bands(band_names: Sequence[str], colours: Sequence[str]) -> list[int] | None:
    """Return where the bands of these ``colours`` are, in that order; None if one of them is not there.

    The case of letters does not count.
    """
    places = {name.lower(): place for place, name in enumerate(band_names)}
    found = [next((places[name] for name in NAMES[colour] if name in places), None) for colour in colours]
    return None if None in found else [place for place in found if place is not None]
