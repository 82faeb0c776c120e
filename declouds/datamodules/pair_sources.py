"""Further sources of pairs, such as SAR and other dates: what they are, their headers and their pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from declouds.datamodules.pairs import Pair, PairHeader, check_same_place, read_file_header, read_with_gaps
from declouds.errors import UserError, did_you_mean, some
from declouds.sources import Source
from declouds.units import Units, choose_units, is_outside

BACKSCATTER = {"VV": (-25.0, 0.0), "VH": (-32.5, 0.0)}  # dB; the limits of DSen2-CR (Meraner et al. 2020)


def sar_source(name: str = "sar") -> Source:
    """Return Sentinel-1 backscatter, VV and VH in dB, with the usual limits."""
    return Source(name, "sar", tuple(BACKSCATTER), tuple(BACKSCATTER.values()))


def with_flags(sources: Sequence[Source], drop: Mapping[str, float]) -> tuple[Source, ...]:
    """Return the sources, those in ``drop`` as optional ones.

    Args:
        sources: the further sources of a data set.
        drop: name of a source -> share of the training samples without it.

    Raises:
        UserError: an unknown source, or a share that is not from 0 to below 1.
    """
    names = [source.name for source in sources]
    for name, share in drop.items():
        if name not in names:
            raise UserError(f"drop: no source {name!r}: {did_you_mean(name, names)}known: {', '.join(names) or 'none'}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise UserError(f"drop: {name}={share!r}: give the share of training samples without it, 0 to below 1")
    return tuple(replace(source, optional=source.name in drop) for source in sources)


@dataclass(frozen=True)
class PairSources:
    """The further sources of some pairs, and the units of their files.

    Args:
        sources: what they are, in the order of `Pair.sources`.
        units: of each, as stored.
    """

    sources: tuple[Source, ...] = ()
    units: tuple[Units, ...] = ()

    @classmethod
    def of(
        cls, pairs: Sequence[Pair], headers: Sequence[PairHeader], sources: Sequence[Source], image: Units
    ) -> "PairSources":
        """Check the headers of the source files.

        Args:
            pairs: the pairs.
            headers: of their images.
            sources: the further sources of every pair.
            image: units of the images, which optical sources have too.

        Raises:
            UserError: a source that is not optional is missing, or a file does not exist, has another size or
                orientation than its image, or other bands than the source.
        """
        units = []
        for place, source in enumerate(sources):
            absent = [pair.name for pair in pairs if pair.sources[place] is None]
            if absent and not source.optional:
                raise UserError(
                    f"{some(absent)} without source {source.name}: add the files, or let it be missing: "
                    f"drop=dict({source.name}=0.1) leaves it out of that share of training samples, 0 of none"
                )
            tags: set[tuple[float, float]] = set()
            first = None
            for pair, header in zip(pairs, headers, strict=True):
                file = pair.sources[place]
                if file is None:
                    continue
                found = read_file_header(file)
                check_same_place("source", file.path, found, pair.cloudy[0].path, header)
                if found.bands != len(source.bands):
                    raise UserError(
                        f"{file.path} has {found.bands} bands, but source {source.name} has {len(source.bands)} "
                        f"({', '.join(source.bands)}): select them with `bands`"
                    )
                tags |= found.units
                first = first or file.path
            of_image = source.kind == "optical" and bool(image.origin)
            units.append(image if of_image or first is None else choose_units(first, tags, None, None, "files of one"))
        return cls(tuple(sources), tuple(units))

    @property
    def channels(self) -> int:
        """Channels of the input that the sources take together."""
        return sum(source.channels for source in self.sources)

    def read(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """Read the further sources of a pair.

        Shapes: (channels, H, W) float32.
        Units: [-1, 1].

        Raises:
            UserError: a file is damaged, holds no data, or 99 % of the values of a band lie outside its range.
        """
        channels: list[np.ndarray] = [np.empty((0, height, width), np.float32)]
        for source, file, units in zip(self.sources, pair.sources, self.units, strict=True):
            if file is None:
                channels.append(source.missing(height, width))
                continue
            values, valid = read_with_gaps([file])
            ranges = [units.stored(limits) for limits in source.ranges]
            for name, band, limits in zip(source.bands, values, ranges, strict=True):
                if is_outside(band[valid], limits):
                    raise UserError(
                        f"{file.path}: 99 % of {name} ({band[valid].min():g} to {band[valid].max():g}) lie outside the "
                        f"range of source {source.name}, {limits}: give its value_range, or convert the file"
                    )
            channels.append(source.to_model(values, valid, ranges))
        return np.concatenate(channels)
