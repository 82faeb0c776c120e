"""The work on a scene so far, so that a job that was killed goes on where it was."""

import contextlib
import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.inference.ranks import Ranks
from declouds.inference.rasters import FileRaster, MemoryRaster, Raster
from declouds.inference.tiles import Window


class MemoryJob:
    """Work that ends with the process: rasters in memory, no ledger."""

    passes_done = 0

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.rasters: dict[str, Raster] = {}

    def raster(self, name: str, channels: int) -> Raster:
        """Return the raster called ``name``, made when it is first asked for."""
        if name not in self.rasters:
            self.rasters[name] = MemoryRaster(channels, self.height, self.width)
        return self.rasters[name]

    def rows_done(self, number: int | str, area: Window) -> int:
        """Return the first row of ``area`` that pass ``number`` has not finished."""
        return area.row

    def note_rows(self, number: int | str, area: Window, row: int) -> None:
        """Note that pass ``number`` has finished ``area`` above ``row``."""

    def note_pass(self, number: int) -> None:
        """Note that pass ``number`` is finished everywhere."""


class FileJob:
    """Work in a folder beside the output, `.NAME.partial`: rasters, and a ledger of what is finished.

    A raster is written before the ledger says so, and what a pass reads is never what it writes: so a pass can begin
    again from any row that the ledger names. That holds for a killed process; after a power cut the file system may
    have kept the ledger and lost the rasters.

    Args:
        folder: where the work is.
        settings: everything that decides the result; work of other settings is not gone on with.
        height: rows of the scene.
        width: columns of the scene.
        leads: whether this process keeps the folder; the others wait until it is there.

    Raises:
        UserError: the folder holds work of other settings, or another process works in it.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], height: int, width: int, leads: bool = True) -> None:
        self.folder, self.height, self.width = folder, height, width
        self.settings = json.loads(_text(settings))  # as the ledger will give them back
        self.ledger = folder / "ledger.json"
        if leads:
            folder.mkdir(exist_ok=True)
            self._lock()
            if not self.ledger.exists():
                self._write(self.ledger, dict(settings=self.settings, passes=0))
        ledger = _read(self.ledger)
        if _text(ledger.get("settings")) != _text(self.settings):
            raise UserError(
                f"{folder}: holds the unfinished work of another command{_difference(ledger, self.settings)}: repeat "
                "that one to go on with it, or drop it with --restart"
            )
        self.passes_done: int = ledger["passes"]

    @classmethod
    def shared(
        cls, folder: Path, settings: dict[str, Any], size: tuple[int, int], ranks: Ranks, restart: bool = False
    ) -> "FileJob":
        """Return the job of all processes: the first makes the folder, ``restart`` drops what is in it."""
        if ranks.leads:
            if restart:
                shutil.rmtree(folder, ignore_errors=True)
            job = cls(folder, settings, *size)
        ranks.wait()
        return job if ranks.leads else cls(folder, settings, *size, leads=False)

    def reserve(self, channels: dict[str, int]) -> None:
        """Take the place of rasters on the disk, so that it does not run out on the way.

        Raises:
            UserError: it is not there.
        """
        for name, count in channels.items():
            self.raster(name, count)

    def raster(self, name: str, channels: int) -> Raster:
        """Return the raster called ``name``, made when it is first asked for."""
        return FileRaster(self.folder / f"{name}.f32", channels, self.height, self.width)

    def rows_done(self, number: int | str, area: Window) -> int:
        """Return the first row of ``area`` that pass ``number`` has not finished."""
        return _read(self._area_file(number, area)).get("row", area.row)

    def note_rows(self, number: int | str, area: Window, row: int) -> None:
        """Note that pass ``number`` has finished ``area`` above ``row``."""
        self._write(self._area_file(number, area), dict(row=row))

    def note_pass(self, number: int) -> None:
        """Note that pass ``number`` is finished everywhere."""
        self.passes_done = number + 1
        self._write(self.ledger, dict(settings=self.settings, passes=self.passes_done))

    @property
    def has_begun(self) -> bool:
        """Whether rows are finished that another start would not have to compute."""
        return self.passes_done > 0 or any(self.folder.glob("pass*.json"))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _area_file(self, number: int | str, area: Window) -> Path:
        return self.folder / f"pass{number}_{'_'.join(map(str, area))}.json"

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content))

    def _lock(self) -> None:
        """Hold the folder for the life of this object; the system lets go when the process dies."""
        self.lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{self.folder}: another process works on this output: wait for it, or stop it") from error


def _read(path: Path) -> dict[str, Any]:
    """Return what a ledger says; nothing if there is none or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        return content if isinstance(content, dict) else {}
    return {}


def _text(settings: Any) -> str:
    """Return settings as text, by which two are compared: NaN does not equal itself."""
    return json.dumps(settings, sort_keys=True, default=str)


def _difference(ledger: dict[str, Any], settings: dict[str, Any]) -> str:
    """Tell the first setting in which two jobs differ."""
    others = ledger.get("settings")
    if not isinstance(others, dict):
        return ""
    for key, ours in settings.items():
        if _text(others.get(key)) != _text(ours):
            return f" ({key} was {others.get(key)!r}, not {ours!r})"
    return ""
