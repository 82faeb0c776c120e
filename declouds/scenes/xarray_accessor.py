"""`image.declouds` of images of xarray: their clouds removed, and shown before and after in a notebook."""

from html import escape
from typing import Any

import numpy as np
import xarray

from declouds.nodata import valid_pixels
from declouds.scenes.xarray_image import from_xarray, is_lazy, names_of

LONGEST = 640  # pixels of the longer side in a notebook


@xarray.register_dataarray_accessor("declouds")
class CloudsOfImage:
    """What declouds does with an image: ``import declouds`` gives it to every `DataArray`.

    Args:
        image: (band, y, x) as rioxarray gives it, also with a dimension ``time``, or (y, x).
    """

    def __init__(self, image: xarray.DataArray) -> None:
        self._image = image

    def clear(self, model: Any = None, **options: Any) -> "ClearedArray":
        """Return the image without its clouds; a notebook shows it beside the cloudy one.

        An image of dask chunks stays one: each chunk is computed when it is asked for, to the pixels that the whole
        image would have had.

        Args:
            model: see `declouds.remove_clouds`.
            **options: see `declouds.remove_clouds`.

        Shapes: (C, H, W) -> (bands of the model, H, W).
        Units: those of the image.

        Raises:
            UserError: see `declouds.remove_clouds`.
        """
        from declouds.scenes.api import remove_clouds
        from declouds.scenes.array_dates import split_times

        cleared = remove_clouds(self._image, model, **options)
        result = ClearedArray(cleared.variable, cleared.coords, name=cleared.name)
        result.encoding = cleared.encoding
        several = "time" in self._image.dims
        result.cloudy = split_times(self._image, options.get("target"))[0] if several else self._image
        return result


class ClearedArray(xarray.DataArray):
    """A `DataArray` without clouds, which a notebook shows beside the one with them; what is made of it is a plain one.

    ``cloudy`` is the image that it was made from.
    """

    __slots__ = ("cloudy",)

    def _repr_html_(self) -> str:
        """Return the slider of before and after above what xarray shows; chunks are not computed for it."""
        cloudy = getattr(self, "cloudy", None)  # what is derived from it has none
        shown = super()._repr_html_()
        return shown if cloudy is None or is_lazy(self) else before_and_after(cloudy, self) + shown


def before_and_after(cloudy: xarray.DataArray, cleared: xarray.DataArray) -> str:
    """Return a slider between two images as HTML that needs neither a network nor widgets.

    Args:
        cloudy: before.
        cleared: after; its bands are the first of those before.

    Shapes: (C, H, W) or (H, W).
    """
    from declouds.scenes.preview import named_colours, page_of, stretched

    before, nodata = from_xarray(cloudy)
    after, _ = from_xarray(cleared)
    bands = named_colours(names_of(cleared)) or ([0, 1, 2] if len(after) >= 3 else [0])
    step = -(-max(after.shape[-2:]) // LONGEST)
    one, other = (image[bands, ::step, ::step] for image in (before, after))
    valid = valid_pixels(one, nodata) & valid_pixels(other, None)
    pictures = stretched(one, other, valid, as_they_are=after.dtype == np.uint8)
    page = page_of(str(cleared.name or "image"), *pictures, {}, cleared.size).decode()
    height, width = valid.shape
    size = f"width: 100%; max-width: {width + 40}px; height: {height + 190}px"
    return f'<iframe srcdoc="{escape(page)}" style="{size}; border: 0"></iframe>'
