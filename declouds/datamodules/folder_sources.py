"""Further sources of your own pairs, as the config of `PairedFolder` gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from declouds.argument_kinds import check_arguments, check_names
from declouds.datamodules.pair_sources import sar_source
from declouds.errors import UserError
from declouds.sources import Source, read_source


@dataclass(frozen=True)
class FolderSource:
    """A source of images in a folder of their own.

    Args:
        name: name of the source.
        folder: its folder, beside those of the images.
        kind: ``sar``, ``optical`` or another word; the name if not given.
        bands: bands to use, counted from 1; of optical sources those of the image, else all.
        band_names: names of the bands; of optical sources those of the image.
        value_range: sensor values that stand for -1 and 1, or one such pair for each band; of ``sar`` the usual limits
            of VV and VH in dB, of optical sources those of the image.
        days: days from the image to it, negative before it, where all pairs have the same.
    """

    name: str
    folder: str
    kind: str
    bands: tuple[int, ...] | None = None
    band_names: tuple[str, ...] = ()
    value_range: Any = None
    days: float | None = None

    def source(self, image: Source) -> Source:
        """Return the source, of an image with its bands and value range.

        Raises:
            UserError: its value range is neither given nor known.
        """
        if self.kind == "optical" and self.bands is None:
            known: tuple[tuple[str, ...], Any] = (image.bands, image.value_range)
        elif self.kind == "sar" and len(self.bands or (1, 2)) == 2:
            known = (sar_source().bands, sar_source().value_range)
        else:
            known = (tuple(map(str, range(1, len(self.bands or (1,)) + 1))), None)
        value_range = self.value_range or known[1]
        if value_range is None:
            raise UserError(
                f"sources: {self.name} has no known value range: give "
                f"{self.name}=dict(folder={self.folder!r}, value_range=(low, high))"
            )
        names = self.band_names or known[0]
        return read_source(dict(name=self.name, kind=self.kind, bands=names, value_range=value_range, days=self.days))


def folder_sources(sources: Mapping[str, Any] | None) -> tuple[FolderSource, ...]:
    """Read ``dict(sar='s1', dates=['d1', 'd2'], elevation=dict(folder='dem', value_range=(0, 4000)))``.

    Each of ``dates`` is an optical source, called as its folder.

    Raises:
        UserError: an entry is neither a folder nor a dict that names one.
    """
    found = []
    for name, entry in (sources or {}).items():
        if name == "dates":
            if isinstance(entry, str) or not isinstance(entry, Sequence):
                raise UserError(f"sources: dates={entry!r}: give a list of folders, such as ['d1', 'd2']")
            found += [FolderSource(folder, folder, "optical") for folder in entry]
            continue
        given = dict(folder=entry) if isinstance(entry, str) else entry
        if not isinstance(given, Mapping) or not isinstance(given.get("folder"), str):
            raise UserError(f"sources: {name}={entry!r}: give a folder, or dict(folder=..., value_range=(low, high))")
        arguments = {"kind": name, **given, "name": name}
        check_names(FolderSource, arguments)
        checked = ("name", "folder", "kind", "days")
        check_arguments(FolderSource, {key: arguments[key] for key in checked if key in arguments})
        found.append(FolderSource(**{key: _tuple(value) for key, value in arguments.items()}))
    return tuple(found)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
