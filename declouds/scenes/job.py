"""The work on a scene so far, so that a killed job can be resumed."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.store import FileRaster
from declouds.scenes.sampling.tiles import Window


class FileJob:
    """Work in a folder beside the output, `.NAME.partial`: rasters, and a ledger of what is finished.

    A raster is written before the ledger says so, and what a pass reads is never what it writes: so a pass can begin
    again from any row that the ledger names. That holds for a killed process; after a power cut the file system may
    have kept the ledger and lost the rasters.

    Args:
        folder: where the work is.
        settings: everything that decides the result; work of other settings is refused.
        height: rows of the scene.
        width: columns of the scene.
        leads: whether this process keeps the folder; the others wait until it is there.
        restart: drop what is in the folder.

    Raises:
        UserError: the folder holds work of other settings, or something else; it cannot be made; or another
            process works in it.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        height: int,
        width: int,
        leads: bool = True,
        restart: bool = False,
    ) -> None:
        self.folder, self.height, self.width = folder, height, width
        self.settings = json.loads(_text(settings))  # as the ledger will give them back
        self.ledger = folder / "ledger.json"
        if leads:
            self._enter()
            # Without a ledger, what is there was left by a process that was killed while it removed it.
            if restart or not self.ledger.exists() or (not self.has_begun and not self._is_ours(_read(self.ledger))):
                self._empty()
                self._write(self.ledger, dict(settings=self.settings, passes=0))
        ledger = _read(self.ledger)
        if not self._is_ours(ledger):
            raise UserError(
                f"{folder}: holds the unfinished work of another command{_difference(ledger, self.settings)}: repeat "
                "that one to resume it, or drop it with --restart"
            )

    @classmethod
    def shared(
        cls, folder: Path, settings: dict[str, Any], size: tuple[int, int], ranks: Ranks, restart: bool = False
    ) -> "FileJob":
        """Return the job of all processes: the first keeps the folder."""
        if ranks.leads:
            job = cls(folder, settings, *size, restart=restart)
        ranks.wait()
        return job if ranks.leads else cls(folder, settings, *size, leads=False)

    @property
    def passes_done(self) -> int:
        """How many passes are finished everywhere."""
        return _read(self.ledger).get("passes", 0)

    @property
    def has_begun(self) -> bool:
        """Whether rows are finished that another start would not have to compute."""
        return any(self.folder.glob("pass*.json"))

    def reserve(self, channels: dict[str, int]) -> None:
        """Take the place of rasters on the disk, so that it does not run out on the way.

        Raises:
            UserError: it is not there; or the work has begun, and a raster is not as it was.
        """
        for name, count in channels.items():
            raster = self.raster(name, count)
            if self.has_begun and not raster.is_whole(self.height):
                raise UserError(f"{raster.path}: is missing or cut short: drop the unfinished work with --restart")
            if not self.has_begun:
                raster.create(self.height)

    def raster(self, name: str, channels: int) -> FileRaster:
        """Return the raster called ``name``."""
        return FileRaster(self.folder / f"{name}.f32", channels, self.width)

    def rows_done(self, number: int | str, area: Window) -> int:
        """Return the first row of ``area`` that pass ``number`` has not finished."""
        return _read(self._area_file(number, area)).get("row", area.row)

    def note_rows(self, number: int | str, area: Window, row: int) -> None:
        """Note that pass ``number`` has finished ``area`` above ``row``."""
        self._write(self._area_file(number, area), dict(row=row))

    def note_pass(self, number: int) -> None:
        """Note that pass ``number`` is finished everywhere."""
        self._write(self.ledger, dict(settings=self.settings, passes=number + 1))

    def remove(self) -> None:
        """Remove the folder, the ledger first: so that a kill on the way leaves a recognisable state."""
        self.ledger.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _area_file(self, number: int | str, area: Window) -> Path:
        return self.folder / f"pass{number}_{'_'.join(map(str, area))}.json"

    def _is_ours(self, ledger: dict[str, Any]) -> bool:
        """Tell whether a ledger is whole, and of this work."""
        passes = ledger.get("passes")
        return type(passes) is int and passes >= 0 and _text(ledger.get("settings")) == _text(self.settings)

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        try:
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(content))
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}): is the disk full? The work so far is kept"
            ) from error

    def _enter(self) -> None:
        """Make the folder, and hold it for the life of this object; the system releases it when the process dies.

        Raises:
            UserError: it cannot be made, holds something else, or another process works in it.
        """
        try:
            if self.folder.is_symlink():
                raise FileExistsError(None, "it is a link")
            self.folder.mkdir(exist_ok=True)
            if any(self.folder.iterdir()) and not (self.folder / "lock").exists():
                raise FileExistsError(None, "it holds other files")
            self.lock = FileLock(self.folder / "lock", timeout=0)
            self.lock.acquire()
        except Timeout as error:
            raise UserError(f"{self.folder}: another process works on this output: wait for it, or stop it") from error
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be the folder of unfinished work ({error.strerror}): choose another output, or "
                "move away what is there"
            ) from error

    def _empty(self) -> None:
        """Drop everything but the lock, the ledger first."""
        self.ledger.unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()


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
    if _text(others.get("files")) != _text(settings.get("files")):
        return " (the scene or its mask has changed or moved since)"
    for key, ours in settings.items():
        theirs = others.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            if inner := _difference(dict(settings=theirs), ours):
                return inner
        elif _text(theirs) != _text(ours):
            return f" ({key} was {theirs!r}, not {ours!r})"
    return ""
