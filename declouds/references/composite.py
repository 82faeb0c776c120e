"""Other dates of the place as prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from declouds.compositing.air import Air
from declouds.compositing.colour import match_colours
from declouds.compositing.composite import HOW, composite
from declouds.compositing.ground import Place, sample_ground
from declouds.errors import UserError
from declouds.layers.input_bands import input_bands
from declouds.layers.input_dates import THERE, Channels, input_dates
from declouds.registry import CLOUD_DETECTORS, REFERENCES
from declouds.sources import Source, channels_of
from declouds.wavelengths import wavelength_of


@REFERENCES.register_module()
class Composite(nn.Module):
    """Other dates of the place, in the colours of the cloudy image, where that is under cloud: no weights, no training.

    What `declouds predict --date` does with files, on the further sources of a network's input: where the image is
    cloudy, a pixel takes the clear dates, matched in colour to the image's clear ground (`match_colour`) and made one
    (`composite`); where it is clear it stays. Dates that are missing, or cloudy at a pixel, do not count there; where
    none is left, the prior is the cloudy image. Colours are matched in each image, crop or window on its own.

    The clouds of the image and of each date are what their mask says, from its middle value on: a further source of
    kind ``cloud`` with one band, called as the date with ``_cloud`` behind it, and ``image_cloud`` for the image. Where
    there is no mask, ``detector`` finds them: by default `BrightWhite`, which knows any bands, misses thin cloud and
    shadows, and takes snow for cloud. `CloudScore` is better for the 13 bands of Sentinel-2 level 1C.

    Args:
        bands: bands of the prior.
        in_bands: bands of the input, the first ``bands`` of which are the image; ``bands`` if not given.
        inputs: the sources of the input. Further optical ones with the bands of the image are other dates. If not
            known, the dates follow the image, all of them with a flag if there are as many channels.
        dates: how many dates there have to be, of which the first so many are used; all, or none, if not given.
        composite: ``median`` of the clear dates; ``nearest`` in time, or ``linear`` between the clear dates before and
            after, which need the ``days`` of the sources.
        colour: ``match`` the colours of each date to the image, or ``keep`` them.
        detector: a cloud detector: its name, or a config.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].

    Raises:
        UserError: ``in_bands`` is less than ``bands``, there are fewer dates, one lacks its days and these are needed,
            or a choice is unknown.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        inputs: Sequence[Source] | None = None,
        *,
        dates: int | None = None,
        composite: str = "median",
        colour: str = "match",
        detector: str | dict[str, Any] = "BrightWhite",
    ) -> None:
        super().__init__()
        for name, word, known in (("composite", composite, HOW), ("colour", colour, ("match", "keep"))):
            if word not in known:
                raise UserError(f"Composite: {name} = {word!r}: choose one of {', '.join(known)}")
        in_bands = input_bands("Composite", bands, in_bands)
        inputs, found = input_dates("Composite", bands, in_bands, inputs, dates)
        if composite != "median" and any(source.days is None for source in found):
            one = found[0].name
            raise UserError(
                f"Composite: composite = {composite!r} needs the days of the dates: give them in the data, "
                f"sources=dict({one}=dict(folder={one!r}, kind='optical', days=-10)), or composite='median'"
            )
        self.bands, self.composite, self.colour = bands, composite, colour
        self.days = [float("nan") if source.days is None else source.days for source in found]
        image = inputs[0]
        black = [float(limits.to_model(np.zeros(1))[0]) for limits in image.ranges]
        self.air = Air([wavelength_of(name) for name in image.bands], np.array(black))
        slices = channels_of(inputs)
        places = {source.name: Channels.of(source, slices[source.name]) for source in inputs}
        self.dates = [places[source.name] for source in found]
        masks = {source.name for source in inputs if source.kind == "cloud" and len(source.bands) == 1}
        named = [f"{source.name}_cloud" for source in (inputs[0], *found)]
        self.clouds = [places[name] if name in masks else None for name in named]
        self.detector = None
        if found and any(mask is None or mask.flag is not None for mask in self.clouds):
            config = dict(type=detector) if isinstance(detector, str) else detector
            self.detector = CLOUD_DETECTORS.build(config, band_names=inputs[0].bands)

    @torch.no_grad()
    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior."""
        images = cloudy.detach().float().cpu().numpy()
        return torch.from_numpy(np.stack([self._prior(image) for image in images])).to(cloudy.device).clamp(-1, 1)

    def _prior(self, cloudy: np.ndarray) -> np.ndarray:
        """Return the prior of one image. Shapes: (in_bands, H, W) -> (bands, H, W)."""
        image = cloudy[: self.bands]
        read = [_read(cloudy, channels) for channels in self.dates]
        known = [there.any() for _, there in read]
        if not any(known):
            return image
        cloud = self._cloud(cloudy, image, self.clouds[0])
        dates = np.stack([values for values, _ in read])
        clear = np.stack(
            [
                there & ~self._cloud(cloudy, values, mask) if some else there
                for (values, there), mask, some in zip(read, self.clouds[1:], known, strict=True)
            ]
        )
        if self.colour == "match":
            dates = self._matched(image, ~cloud, dates, clear)
        found, covered = composite(dates, clear, self.days, self.composite)
        return np.where(cloud & covered, found, image)

    def _cloud(self, cloudy: np.ndarray, image: np.ndarray, mask: Channels | None) -> np.ndarray:
        """Return the cloud of the image or of a date: by its mask, where there is none by the detector."""
        if mask is None:
            assert self.detector is not None
            return self.detector(image)
        cloud, known = _read(cloudy, mask)
        if known.all():
            return cloud[0] >= 0
        assert self.detector is not None
        return np.where(known, cloud[0] >= 0, self.detector(image))

    def _matched(self, image: np.ndarray, clear: np.ndarray, dates: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Return the dates in the colours of the image's clear ground; as they are if it has none."""

        def cut(values: np.ndarray, pixels: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray]:
            row, col, height, width = place
            part = (..., slice(row, row + height), slice(col, col + width))
            return values[part], pixels[part]

        ground = sample_ground(
            lambda place: cut(image, clear, place), lambda place: cut(dates, seen, place), *clear.shape
        )
        if ground is None:
            return dates
        return np.stack([match(date) for match, date in zip(match_colours(ground, self.air), dates, strict=True)])


def _read(cloudy: np.ndarray, channels: Channels) -> tuple[np.ndarray, np.ndarray]:
    """Return the bands of a source, and which pixels have data. Shapes: (in_bands, H, W) -> (C, H, W), (H, W) bool."""
    there = np.ones(cloudy.shape[1:], bool) if channels.flag is None else cloudy[channels.flag] > THERE
    return cloudy[channels.bands], there
