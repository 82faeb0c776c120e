"""Weights by name: those that come with the package, and the zoo of published ones, fetched once and checked."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from declouds.digests import file_digest
from declouds.download import cache_folder, download, offline
from declouds.errors import UserError, nearest

GENERAL = "general"
PACKAGED = Path(__file__).with_name("general-6.safetensors")  # a new number when the weights change
MODEL_CARD = "docs/general_model.md"


@dataclass(frozen=True)
class Expected:
    """What a network scored, and on what.

    Attributes:
        data_set: its name, and what was done to it.
        size: pixels on each side of every image.
        split: names of the images.
        split_digest: of these names, see `declouds.datamodules.splits.digest`.
        pixels_digest: SHA-256 of the pixels, cloudy then clear, image by image in the order of ``split``.
        protocol: see `declouds.evaluation.protocols`.
        scores: metric -> mean over the images.
        tolerances: metric -> how far from it a repetition may be.
        remark: what must be said beside the figure.
    """

    data_set: str
    size: int
    split: tuple[str, ...]
    split_digest: str
    pixels_digest: str
    protocol: str
    scores: dict[str, float]
    tolerances: dict[str, float]
    remark: str


@dataclass(frozen=True)
class ZooEntry:
    """One published file.

    Attributes:
        name: what it is called here.
        about: what it is, in a line.
        kind: see `declouds.weights.kinds.official.import_official`.
        channel_order: as there.
        value_range: sensor values that stand for the darkest and the brightest the network knows.
        urls: where the official file is, the first that answers counts.
        sha256: of the official file.
        bytes: its size.
        source: who published it.
        licence: under which it was published.
        expected: what it scored.
    """

    name: str
    about: str
    kind: str
    channel_order: str
    value_range: tuple[float, float]
    urls: tuple[str, ...]
    sha256: str
    bytes: int
    source: str
    licence: str
    expected: Expected

    @property
    def cached(self) -> Path:
        """Where the imported file is kept."""
        return cache_folder() / "weights" / f"{self.name}-{self.sha256[:8]}.safetensors"

    @property
    def official(self) -> Path:
        """Where an official file that was brought by hand is looked for."""
        return cache_folder() / "weights" / f"{self.name}.pth"


@functools.cache
def zoo() -> dict[str, ZooEntry]:
    """Return name -> entry of all published weights that are known."""
    content: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("zoo.json").read_text(encoding="utf-8"))
    entries = {}
    for name, values in content.items():
        expected = Expected(**values.pop("expected"))
        entries[name] = ZooEntry(name=name, expected=expected, **values)
    return entries


def general_weights() -> Path:
    """Return the weights that come with the package, which are used where no others are given.

    Raises:
        UserError: the package was installed without them.
    """
    if not PACKAGED.is_file():
        raise UserError(f"{PACKAGED} is missing: install declouds again, or give a weights file (--checkpoint)")
    return PACKAGED


def find_weights(source: str | Path) -> Path:
    """Return the weights file that a path names, or else ``general`` or a name of the zoo, fetched if need be.

    Raises:
        UserError: it is neither; the message lists the names, the nearest spelling first. Or it cannot be fetched.
    """
    path = Path(source)
    if path.is_file():
        return path
    if str(source) == GENERAL:
        return general_weights()
    if str(source) in zoo():
        return fetch(str(source))
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the path of a .safetensors weights file in it")
    raise UserError(f"{path} does not exist: give the path of a .safetensors weights file, or a name of {_known(path)}")


def zoo_entry(name: str) -> ZooEntry:
    """Return the entry called ``name``.

    Raises:
        UserError: there is none; the message lists the zoo, the nearest spelling first.
    """
    if name == GENERAL:
        raise UserError(f"{name} comes with declouds: {MODEL_CARD} says what it scores, and there is nothing to verify")
    if name not in zoo():
        raise UserError(f"no published weights are called {name!r}: give a name of {_known(Path(name))}")
    return zoo()[name]


def fetch(name: str, file: Path | None = None, *, forbid_download: bool = False, again: bool = False) -> Path:
    """Return the cached weights file of a published network, importing it first if it is not there.

    Args:
        name: of the zoo.
        file: the official file, where it was brought by hand; nothing is downloaded then.
        forbid_download: refuse to use the network, as ``$DECLOUDS_OFFLINE`` does.
        again: import it even if it is in the cache.

    Raises:
        UserError: the name is unknown, the file is another one, or it cannot be downloaded.
    """
    if name == GENERAL:
        return general_weights()
    entry = zoo_entry(name)
    if entry.cached.is_file() and not (again or file):
        return entry.cached
    if file is None and entry.official.is_file():
        file = entry.official
    if file is not None:
        _check_digest(entry, file)
    elif forbid_download or offline():
        raise UserError(f"{name} is not in the cache and downloads are forbidden: {_by_hand(entry)}")
    try:
        entry.cached.parent.mkdir(parents=True, exist_ok=True)
        work = TemporaryDirectory(dir=entry.cached.parent, prefix=".")
    except OSError as error:
        raise UserError(
            f"{entry.cached.parent} cannot be written to ({error.strerror}): set $DECLOUDS_CACHE"
        ) from error
    with work as folder:
        _import(entry, file or _download(entry, Path(folder) / entry.official.name))
    return entry.cached


def _download(entry: ZooEntry, file: Path) -> Path:
    """Return ``file``, downloaded from the first place that has it."""
    failures = []
    for url in entry.urls:
        try:
            download(url, file, entry.sha256)
            return file
        except OSError as error:
            failures.append(" ".join(str(error).split()))
    raise UserError(f"{entry.name} cannot be downloaded ({'; '.join(failures)}): {_by_hand(entry)}")


def _check_digest(entry: ZooEntry, file: Path) -> None:
    if not file.is_file():
        raise UserError(f"{file}: no such file: {_by_hand(entry)}")
    if (digest := file_digest(file)) != entry.sha256:
        raise UserError(f"{file} is not the official file of {entry.name}, its SHA-256 is {digest}: {_by_hand(entry)}")


def _import(entry: ZooEntry, file: Path) -> None:
    """Write the cached file from the official one."""
    from declouds.weights.kinds.import_file import import_file

    about = dict(name=entry.name, about=entry.about, source=entry.source, licence=entry.licence)
    import_file(
        file,
        entry.kind,
        entry.cached,
        channel_order=entry.channel_order,
        value_range=entry.value_range,
        about=dict(zoo=about),
        overwrite=True,
    )


def _by_hand(entry: ZooEntry) -> str:
    """Say how to bring the official file."""
    return (
        f"get {entry.urls[0]} (SHA-256 {entry.sha256}) and put it at {entry.official}, or run "
        f"`declouds weights fetch {entry.name} --from FILE`"
    )


def _known(path: Path) -> str:
    """Return the names of weights, the nearest to ``path`` first."""
    names = [*zoo(), GENERAL]
    near = nearest(path.name, names, len(names))
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"the zoo{hint}: {', '.join([*near, *(name for name in names if name not in near)])}"
