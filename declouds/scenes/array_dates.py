"""Other dates in memory: read from what a user gives, checked against the image, and laid on its grid."""

import datetime
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from declouds.errors import UserError, some
from declouds.scenes.array_image import ArrayImage, array_image, as_array, clouds_of, kind_of
from declouds.scenes.dates import Date, check_type, range_of_date
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.date_file import convert, moved
from declouds.scenes.sampling.cloud_mask import Pixels
from declouds.scenes.sampling.image import Image, Read, samples
from declouds.scenes.sampling.tiles import Window
from declouds.scenes.xarray_image import check_coordinates, is_xarray, mask_of
from declouds.units import check_units, choose_units
from declouds.value_range import ValueRange


def as_day(given: Any, name: str) -> datetime.date:
    """Return a day, given as text, as a date or time of Python or NumPy, or as one of another calendar.

    Raises:
        UserError: it is none.
    """
    try:
        if isinstance(given, str):
            return datetime.datetime.fromisoformat(given).date()
        if isinstance(given, np.ndarray):
            given = given[()]
        if isinstance(given, np.datetime64):
            return datetime.date.fromisoformat(np.datetime_as_string(given, unit="D"))
        return datetime.date(given.year, given.month, given.day)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{name} = {given!r}: is no day: write it as '2018-07-05'") from error


def day_of_image(image: Any, given: Any, name: str) -> datetime.date | None:
    """Return the day of an image in memory, as given or by the coordinate ``time`` of a DataArray.

    Raises:
        UserError: it is no day, or the two differ.
    """
    day = None if given is None else as_day(given, f"day of {name}")
    if not is_xarray(image) or "time" not in image.coords or image["time"].ndim:
        return day
    own = as_day(image["time"].to_numpy(), f"time of {name}")
    if day not in (None, own):
        raise UserError(f"{name}: its time is {own}, and {day} is given: leave that out, or correct one of them")
    return own


def split_times(image: Any, target: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """Return the image of one day of a DataArray, and pairs of its other images and their days.

    Raises:
        UserError: it has no coordinate of times, or not exactly one image of that day, or there is no other.
    """
    if "time" not in image.coords:
        raise UserError(
            "the image: its dimension time has no coordinate: name its times, image.assign_coords(time=...)"
        )
    if target is None:
        raise UserError("the image: has a dimension time: say which day is to be cleared, target='2018-07-05'")
    wanted = as_day(target, "target")
    days = [as_day(time, "time of the image") for time in image["time"].to_numpy()]
    places = [place for place, day in enumerate(days) if day == wanted]
    if len(places) != 1:
        found = f"{len(places)} times are" if places else "no time is"
        raise UserError(f"target = {target!r}: {found} of that day: there are {some(sorted(map(str, days)))}")
    if len(days) == 1:
        raise UserError(f"target = {target!r}: it is the only time: give those that are to fill its clouds too")
    others = [(image.isel(time=place), day) for place, day in enumerate(days) if day != wanted]
    return image.isel(time=places[0]), others


def read_dates(dates: Any, masks: Any, image: Any, target: ArrayImage, needs_days: bool) -> list[ArrayImage]:
    """Return the other dates of an image in memory, each with its day and mask.

    Args:
        dates: images of the kind of ``image``: a list of them, or of pairs (image, day), or a dict day -> image.
        masks: a list of their cloud masks, in their order, or None.
        image: the image, as the user gave it.
        target: the same.
        needs_days: whether each date has to have a day.

    Raises:
        UserError: dates of several kinds or of another kind than the image, of another shape, without a day where one
            is needed, or with the same pixels as the image or another date; or masks of another number.
    """
    given = _pairs(dates)
    masks = [None] * len(given) if masks is None else list(masks)
    if len(masks) != len(given):
        raise UserError(f"date_masks: {len(masks)} masks for {len(given)} dates: give one for each, in their order")
    kind, found = kind_of(image), []
    for number, ((one, day), mask) in enumerate(zip(given, masks, strict=True)):
        name = f"dates[{number}]" if day is None else f"the date {day}"
        if kind_of(one) != kind:
            other = kind_of(one) or type(one).__name__
            raise UserError(f"{name}: is a {other}, and the image a {kind}: give all of them in one kind")
        if is_xarray(one):
            check_coordinates(one, image, name)
        own_day = day_of_image(one, day, name) if needs_days else None
        date = array_image(one, name, own_day, _mask(mask, image, f"date_masks[{number}]"))
        _check(date, target, needs_days)
        found.append(date)
    if found and needs_days and target.day is None:
        raise UserError(
            "the image: nothing says when it was taken: give target='2018-07-05', or composite='median', which needs "
            "no days"
        )
    _check_apart([target, *found])
    return found


def _mask(mask: Any, image: Any, name: str) -> np.ndarray | None:
    """Return the mask of a date as an array."""
    mask = mask_of(mask, image, name) if is_xarray(mask) else as_array(mask, name)
    if mask is not None and not isinstance(mask, np.ndarray):
        raise UserError(f"{name}: is a {type(mask).__name__}: give an array of the image's size")
    return mask


def _pairs(dates: Any) -> list[tuple[Any, Any]]:
    """Return image and day of each date, None for a day that is not given."""
    if dates is None:
        return []
    if isinstance(dates, Mapping):
        return [(one, day) for day, one in dates.items()]
    if isinstance(dates, str) or not isinstance(dates, Sequence):
        raise UserError(
            f"dates = a {kind_of(dates) or type(dates).__name__}: give a list of images, a list of pairs (image, "
            "'2018-06-25'), or a dict from days to images"
        )
    paired = [isinstance(one, tuple) and len(one) == 2 for one in dates]
    if any(paired) and not all(paired):
        raise UserError(
            f"dates: {sum(paired)} of {len(paired)} are pairs (image, day): give all of them as pairs, or none"
        )
    return list(dates) if all(paired) else [(one, None) for one in dates]


def _check(date: ArrayImage, target: ArrayImage, needs_days: bool) -> None:
    """Refuse a date that does not go with the image."""
    if date.values.shape != target.values.shape:
        raise UserError(
            f"{date.name}: has shape {date.values.shape}, and the image {target.values.shape}: give a date on its grid "
            "with its bands"
        )
    if date.values.dtype.kind not in "iuf":
        raise UserError(f"{date.name}: an image holds integers or floating-point numbers; got {date.values.dtype.name}")
    if needs_days and date.day is None:
        raise UserError(
            f"{date.name}: nothing says when it was taken: give (image, '2018-06-25'), or composite='median', which "
            "needs no days"
        )


def _check_apart(images: Sequence[ArrayImage]) -> None:
    """Refuse a date that has the pixels of the image, the first of all, or of another date."""
    for number, one in enumerate(images):
        for other in images[:number]:
            floats = one.values.dtype.kind == other.values.dtype.kind == "f"
            if one.values is other.values or np.array_equal(one.values, other.values, equal_nan=floats):
                raise UserError(f"{one.name}: has the same pixels as {other.name}: leave it out")


def laid_dates(
    dates: Sequence[ArrayImage],
    target: ArrayImage,
    image: Image,
    options: SceneOptions,
    remover: Any,
) -> list[Date]:
    """Return the dates as `filled_from` takes them, with values in the units of the image.

    Args:
        dates: the dates.
        target: the image.
        image: the same, with its range.
        options: the user's choices.
        remover: what clears the image.

    Raises:
        UserError: a date has other units than the model was trained on, or is of 8 bits and the image is not.
    """
    found = []
    for date in dates:
        units = choose_units(date.name, date.tags, options.scale, options.offset, "scale and offset")
        missing = date.nodata if options.nodata is None else options.nodata
        if remover.value_range is None:
            stored = range_of_date(image.value_range, target.tags[0], date.tags[0])
        else:
            stored = units.stored(remover.value_range)
            own = functools.partial(date.read, nodata=missing, stored=stored)
            sample = samples(own, image.height, image.width)
            check_units(date.name, sample, remover.value_range, units, remover.trained)
        if stored == image.value_range:
            check_type(date.name, date.values.dtype, target.values.dtype)
        gap = math.nan if date.day is None or target.day is None else float((date.day - target.day).days)
        laid = functools.partial(_laid, date, missing, stored, image.value_range)
        mask = None if date.mask is None else functools.partial(_opened, date, options, (image.height, image.width))
        found.append(Date(date.name, date.day, gap, laid, mask))
    return found


@contextmanager
def _opened(date: ArrayImage, options: SceneOptions, size: tuple[int, int]) -> Iterator[Pixels]:
    """Give the clouds in the mask of a date."""
    assert date.mask is not None
    cloud = clouds_of(date.mask, options, size, f"the mask of {date.name}")
    cloud.warn(date.name)
    yield cloud


@contextmanager
def _laid(
    date: ArrayImage, nodata: float | None, theirs: ValueRange, ours: ValueRange, shift: tuple[float, float]
) -> Iterator[Read]:
    """Give what reads a date in the units of the image, moved up and to the left."""
    read: AbstractContextManager[Read] = nullcontext(functools.partial(date.read, nodata=nodata, stored=theirs))
    if any(shift):
        read = moved(date.values, nodata, theirs, date.name, shift)
    with read as own:

        def laid(window: Window) -> tuple[np.ndarray, np.ndarray]:
            values, valid = own(window)
            return convert(values, theirs, ours), valid

        yield laid
