"""Bands of a scene that the model does not take: a thin veil is lifted from some, the others stay as they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from declouds.nodata import merge_stored, valid_pixels
from declouds.scenes.cleared_image import Block, Tally
from declouds.scenes.rasters.scene import Scene
from declouds.scenes.rasters.scene_file import read_window
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.store import Raster
from declouds.scenes.sampling.thin_veil import MARGIN, Veil, find_veil, lift_veil
from declouds.scenes.sampling.tiles import Window, around_of, inside_of
from declouds.value_range import ValueRange

COLUMNS = 512  # computed at a time, in float64


@dataclass(frozen=True)
class FurtherBands:
    """Adds the further bands of a scene to what the model has made of the others.

    Where a pixel is cleared, the veil that the model has removed is found and lifted from the bands of known wavelength
    (`declouds.scenes.sampling.thin_veil`). Where that is thick or unclear, and in all other bands, pixels stay as they
    are, as do those without data in the band or in those of the model.

    Args:
        scene: the scene.
        image: the same as the model saw it.
        cleared: what the model has made of it, in model units.
        wavelengths: of the model's bands, in micrometres.
    """

    scene: Scene
    image: Image
    cleared: Raster
    wavelengths: Sequence[float]

    def add(self, blocks: Iterator[Block], tally: Tally) -> Iterator[Block]:
        """Yield the blocks with the further bands behind their own; the tally counts the pixels that are left.

        Raises:
            UserError: the file is damaged there.
        """
        for block in blocks:
            top, start, height, width = block.window
            columns = range(start, start + width, COLUMNS)
            windows = [Window(top, left, height, min(COLUMNS, start + width - left)) for left in columns]
            parts = [self._lifted(window) for window in windows]
            values, changed, left = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
            tally.left_in_further += int((left == 1).sum())
            tally.pixels["changed"] += int((changed & ~block.changed).sum())
            values = np.concatenate([block.values, values])
            yield replace(block, values=values, changed=block.changed | changed, left=left)

    def _lifted(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the further bands of a window, which pixels have changed, and `Block.left`."""
        scene, around = self.scene, around_of(window, MARGIN, *self.scene.size)
        values, masks = read_window(scene.file, window, [band.number for band in scene.further], scene.path)
        seen, valid = self.image.read(around)
        alpha = valid.astype(np.float32) if self.image.alpha is None else valid * self.image.alpha(around)
        here = inside_of(window, around)
        changed, left = np.zeros(values.shape[1:], bool), np.full(values.shape[1:], np.nan, np.float32)
        if not alpha[here].any():
            return values, changed, left

        cleared = self.image.value_range.from_model(self.cleared.read(around)[: scene.bands], "float64")
        cloudy, cleared = (self._reflectance(stored) for stored in (seen[: scene.bands], cleared))
        veil = Veil(*(part[here] for part in find_veil(cloudy, cleared, alpha > 0, self.wavelengths)))
        alpha = alpha[here]
        left = np.where(alpha > 0, ~veil.thin, left).astype(np.float32)
        for place, band in enumerate(scene.further):
            if band.left is None and band.wavelength is not None:
                original = values[place : place + 1]
                share = alpha * veil.thin * valid_pixels(original, scene.nodata, masks, scene.stored_range)
                clear = self._stored(lift_veil(self._reflectance(original), veil, [band.wavelength]))
                lifted = merge_stored(original, clear, share, scene.stored_range, scene.nodata)
                changed |= (lifted != original)[0] & (share > 0)
                values[place] = lifted[0]
        return values, changed, left

    @property
    def _units(self) -> ValueRange:
        """Stored values of reflectance 0 and 1."""
        return self.scene.reflectance or self.scene.stored_range

    def _reflectance(self, stored: np.ndarray) -> np.ndarray:
        return (stored.astype(np.float64) - self._units.low) / (self._units.high - self._units.low)

    def _stored(self, reflectance: np.ndarray) -> np.ndarray:
        return reflectance * (self._units.high - self._units.low) + self._units.low


def bands_summary(scene: Scene, tally: Tally) -> dict[str, Any] | None:
    """Return what was done with which bands, by name, and the share of cleared pixels left in all further bands.

    None if the scene has no further bands.
    """
    if not scene.further:
        return None
    return dict(
        by_model=scene.names,
        by_physics=[band.name for band in scene.further if band.left is None],
        left={band.name: band.left for band in scene.further if band.left is not None},
        share_left=tally.left_in_further / max(tally.pixels["cleared"], 1),
    )
