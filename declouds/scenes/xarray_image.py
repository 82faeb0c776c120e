"""Images as xarray has them: pixels with their grid. A `DataArray` goes in, one like it comes out.

Nothing here needs rioxarray: what it adds to an image, the CRS for example, lies in coordinates and attributes.
"""

import sys
from typing import Any

import numpy as np

from declouds.errors import UserError

KINDS = {  # of a dimension: its names, in lower case
    "band": ("band", "bands", "channel", "variable", "wavelength"),
    "y": ("y", "lat", "latitude", "northing"),
    "x": ("x", "lon", "longitude", "easting"),
}
NODATA = ("_FillValue", "missing_value", "nodata")  # attributes, in the order in which they count
PER_BAND = ("long_name", "scales", "offsets", "units")  # attributes of which rioxarray keeps one value a band


def is_xarray(image: Any) -> bool:
    """Tell whether this is one of xarray's images, without importing xarray for it."""
    xarray = sys.modules.get("xarray")  # who has made one has imported it
    return xarray is not None and isinstance(image, xarray.DataArray | xarray.Dataset)


def mask_of(mask: Any, image: Any, name: str = "mask") -> np.ndarray:
    """Return the values of a mask, masked where they are its nodata value. Shapes: (y, x), or (1, y, x) -> (H, W).

    Raises:
        UserError: it has other dimensions, or its coordinates are not those of the image.
    """
    _check_dims(mask.dims)
    check_coordinates(mask, image, name)
    values = np.asarray(mask)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2:
        raise UserError(f"{name}: has dimensions {tuple(mask.dims)}, and a mask has (y, x): select one band")
    nodata = _nodata(mask)
    # As in files: many masks of 0 and 1 have nodata 0, which was meant as clear.
    return values if not nodata else np.ma.masked_equal(values, nodata)


def check_coordinates(other: Any, image: Any, name: str) -> None:
    """Refuse what lies elsewhere than the image.

    Raises:
        UserError: as said.
    """
    for dim in other.dims[-2:] if is_xarray(image) else ():
        if dim not in other.coords or dim not in image.coords or other.sizes[dim] != image.sizes.get(dim):
            continue
        ours, theirs = image[dim].to_numpy(), other[dim].to_numpy()
        if not np.allclose(ours, theirs, rtol=0, atol=1e-6 * float(np.ptp(ours) or 1)):
            raise UserError(
                f"{name}: its coordinates {dim} are not those of the image: reproject it to the image's grid"
            )


def is_lazy(image: Any) -> bool:
    """Tell whether this is an image of xarray whose pixels are chunks of dask, computed when they are asked for."""
    return is_xarray(image) and bool(getattr(image, "chunks", None))


def from_xarray(image: Any, lazy: bool = False) -> tuple[Any, float | None]:
    """Return the pixels and the nodata value, None if it has none or NaN stands for it.

    Chunks (dask) are computed and held in memory, unless ``lazy`` leaves them as they are.

    Shapes: (band, y, x), or (y, x) for one band -> (C, H, W).
    Units: as stored in the array.

    Raises:
        UserError: a `Dataset`; dimensions in another order, or not those of one image.
    """
    if not hasattr(image, "dims") or not hasattr(image, "dtype"):
        names = ", ".join(map(str, image.data_vars))
        raise UserError(f"a Dataset of the variables {names}: give one image, such as ds.to_dataarray('band')")
    _check_dims(image.dims)
    values = image.data if lazy else image.to_numpy()
    return values if values.ndim == 3 else values[None], _nodata(image)


def tags_of(image: Any) -> list[tuple[float, float]]:
    """Return scale and offset of each band, by the attributes that rioxarray leaves where it has not applied them."""
    bands = image.shape[0] if image.ndim == 3 else 1
    found = []
    for one, several, neutral in (("scale_factor", "scales", 1.0), ("add_offset", "offsets", 0.0)):
        values = image.attrs.get(several, [image.attrs.get(one, neutral)] * bands)
        found.append([float(value) for value in values])
    return list(zip(*found, strict=False))


def names_of(image: Any) -> list[str]:
    """Return what the bands are called, by the attribute that rioxarray leaves or by their coordinate; else nothing."""
    bands = image.shape[0] if image.ndim == 3 else 1
    names = image.attrs.get("long_name", ())
    if isinstance(names, str):
        names = (names,)
    if len(names) != bands and image.ndim == 3 and image.dims[0] in image.coords:
        names = image[image.dims[0]].to_numpy().tolist()
    usable = len(names) == bands and all(isinstance(name, str) and name for name in names)
    return list(names) if usable else []


def like(image: Any, cleared: np.ndarray) -> Any:
    """Return the cleared pixels as a `DataArray` with the coordinates, CRS, attributes, encoding and name of ``image``.

    Where the model makes fewer bands than it takes, these are the first. ``STATISTICS_*`` describe the old pixels, and
    are left out.

    Shapes: cleared (C, H, W); the result has the dimensions of ``image``.
    """
    bands = len(cleared)
    if image.ndim == 2:
        cleared = cleared[0]
    else:
        image = image.isel({image.dims[0]: slice(bands)})
    result = image.copy(data=cleared)
    result.attrs = {
        key: value[:bands] if key in PER_BAND and isinstance(value, tuple | list) else value
        for key, value in image.attrs.items()
        if not key.startswith("STATISTICS_")
    }
    return result


def _check_dims(dims: tuple[Any, ...]) -> None:
    """Refuse what is not certainly (band, y, x) or (y, x)."""
    given = f"the image's dimensions are ({', '.join(map(str, dims))})"
    kinds = [next((kind for kind, names in KINDS.items() if str(name).lower() in names), None) for name in dims]
    order = [name for kind in KINDS for name, its in zip(dims, kinds, strict=True) if its == kind]
    if None in kinds or sorted(kinds, key=str) not in (["band", "x", "y"], ["x", "y"]):
        raise UserError(
            f"{given}, and an image has (band, y, x), or (y, x): choose one image of several, such as "
            'image.isel(time=0), or give the dimensions these names, such as image.rename({"height": "y"})'
        )
    if list(dims) != order:
        names = ", ".join(f'"{name}"' for name in order)
        raise UserError(f"{given}: put them in order with image.transpose({names})")


def _nodata(image: Any) -> float | None:
    """Return the value that means "no data"."""
    encoded = image.encoding.get("_FillValue")
    if encoded is not None and np.issubdtype(image.dtype, np.floating):
        return None  # the reader has put NaN in its place
    attributes = (image.attrs.get(name) for name in NODATA)
    value = next((value for value in (encoded, *attributes) if value is not None), None)
    return None if value is None or np.isnan(value) else float(value)
