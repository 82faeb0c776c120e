"""``run.json``: the record of a run in its folder. Training writes it, everything else reads it here."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.runs.process_identity import is_running

NAME = "run.json"
FORMAT = 1
ENTRIES = (
    "status", "error", "config_file", "config", "seed", "data", "given", "weights", "stages", "sessions", "started",
    "updated", "ended", "seconds", "peak_memory", "energy",
)  # fmt: skip
OF_STAGE = ("name", "status", "iterations", "samples", "seconds", "trained_in")
OF_SESSION = ("started", "ended", "status", "error", "process", "seconds", "energy")
STALE = timedelta(minutes=5)  # a run on another machine that has not written for so long is taken for stopped


def read_run_file(folder: Path) -> dict[str, Any]:
    """Return the record of the run in ``folder``.

    Raises:
        UserError: there is none, or it is broken, or of another version of declouds.
    """
    path = folder / NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: the run was trained by a declouds that kept no record") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    except ValueError as error:
        raise UserError(
            f"{path} is broken, maybe half-written ({error}): delete it; the run itself is whole"
        ) from error
    found = record.get("format") if isinstance(record, dict) else None
    if found is None:
        raise UserError(f"{path} is not a record of a declouds run: it belongs elsewhere")
    if found != FORMAT:
        raise UserError(
            f"{path} was written by another version of declouds (format {found}, this one reads {FORMAT}): read it "
            "with that version"
        )
    if missing := _missing(record):
        raise UserError(f"{path} is not a complete record of a declouds run (it lacks {', '.join(missing)}): delete it")
    return record


def _missing(record: dict[str, Any]) -> list[str]:
    """Return which entries a record lacks."""
    if missing := [key for key in ENTRIES if key not in record]:
        return missing
    found = []
    for key, needed in (("stages", OF_STAGE), ("sessions", OF_SESSION)):
        entries = record[key]
        whole = isinstance(entries, list) and all(isinstance(e, dict) and set(needed) <= set(e) for e in entries)
        if not (whole and entries):
            found.append(f"entries of {key}")
    return found


def status_of(record: dict[str, Any], now: datetime | None = None) -> str:
    """Return ``running``, ``finished``, ``failed``, ``interrupted``, or ``stopped`` if its process has ended."""
    if record["status"] != "running":
        return record["status"]
    running = is_running(record["sessions"][-1]["process"])
    if running is None:
        running = (now or datetime.now(UTC)) - datetime.fromisoformat(record["updated"]) < STALE
    return "running" if running else "stopped"
