"""Which of the items found are fetched: one that is to be cleared, and clear ones that are near it in time."""

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from declouds.errors import UserError, some
from declouds.fetching.search import Box

TOUCHING = 1e-4  # degrees by which a footprint may miss a corner of the box: they are rounded


class Dated(NamedTuple):
    """An item that covers the box.

    Attributes:
        day: when it was taken.
        cloud: per cent of the whole item that are cloud; None if it does not say.
        item: of pystac.
    """

    day: datetime.date
    cloud: float | None
    item: Any


def choose(
    items: Sequence[Any], box: Box, target: datetime.date | None, count: int, most_cloud: float
) -> tuple[Dated, list[Dated]]:
    """Return the item to be cleared, and the others, in the order of their days.

    The others are those with the smallest sum of their cloud in per cent and their distance in days, one of each day.

    Args:
        items: found in the box.
        box: that all have to cover.
        target: the day to be cleared; the latest if not given.
        count: of the others, at most.
        most_cloud: per cent that one of them may have; one that does not say counts as this.

    Raises:
        UserError: none covers the box, or none on that day, or no other one.
    """
    of_day: dict[datetime.date, Dated] = {}
    for dated in sorted(_covering(items, box), key=lambda one: (_cloud(one, most_cloud), one.item.id)):
        of_day.setdefault(dated.day, dated)  # the clearest of each day
    if not of_day:
        raise UserError(
            f"none of the {len(items)} items found covers the whole box: give a smaller one (--bbox), within one tile"
        )
    days = sorted(of_day)
    day = target or days[-1]
    if day not in of_day:
        near = sorted(days, key=lambda other: abs(other - day))
        raise UserError(f"--target {day}: no item of that day covers the box: there are {some(list(map(str, near)))}")

    def cost(dated: Dated) -> float:
        return _cloud(dated, most_cloud) + abs((dated.day - day).days)

    others = [dated for dated in of_day.values() if dated.day != day and _cloud(dated, most_cloud) <= most_cloud]
    if count and not others:
        raise UserError(
            f"no other day has an item that covers the box and is at most {most_cloud:g} % cloud: allow more "
            "(--max-cloud), or more days (--datetime)"
        )
    chosen = sorted(others, key=cost)[:count]
    return of_day[day], sorted(chosen, key=lambda dated: dated.day)


def _cloud(dated: Dated, unknown: float) -> float:
    return unknown if dated.cloud is None else dated.cloud


def _covering(items: Sequence[Any], box: Box) -> list[Dated]:
    """Return the items that cover the box and say when they were taken."""
    found = []
    for item in items:
        taken = item.datetime or item.common_metadata.start_datetime
        if taken is not None and _covers(item, box):
            cloud = item.properties.get("eo:cloud_cover")
            found.append(Dated(taken.date(), float(cloud) if isinstance(cloud, int | float) else None, item))
    return found


def _covers(item: Any, box: Box) -> bool:
    """Tell whether the footprint of an item holds all corners of the box."""
    from matplotlib.path import Path as Polygon  # half a second to import

    west, south, east, north = box
    corners = [(west, south), (west, north), (east, north), (east, south)]
    geometry: dict[str, Any] = item.geometry or {}
    polygons = geometry.get("coordinates", ())
    for rings in [polygons] if geometry.get("type") == "Polygon" else polygons:
        try:
            ring = np.asarray(rings[0], np.float64)[:, :2]
        except (IndexError, KeyError, TypeError, ValueError):
            continue  # a server may send anything
        if any(Polygon(ring).contains_points(corners, radius=radius).all() for radius in (TOUCHING, -TOUCHING)):
            return True  # the sign is that of the direction in which the ring runs
    return False
