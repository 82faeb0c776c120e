"""Splits of pairs into train, val and test: split files, shipped splits, and the validation part.

A split file is JSON: ``{"train": ["7", "10"], "val": [...], "test": ["9"], "about": "free text"}``. Each part lists
names of pairs (file names without suffix). If the folders are already split into ``train`` and ``test``, parts missing
in the file stay complete; otherwise they are empty. Published lists, text files with one name per line, are given per
part: ``split=dict(train='train.txt', test='test.txt')``.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.pairs import PARTS, Pair, natural_order
from declouds.errors import UserError, some
from declouds.image_io import SUFFIXES

SHIPPED = Path(__file__).parent / "split_files"


@dataclass(frozen=True)
class Split:
    """A named split: part -> names of pairs."""

    name: str
    parts: dict[str, tuple[str, ...]]


def digest(names: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted names, one per line, independent of their order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def shipped_splits() -> list[str]:
    """Return the names of the shipped splits."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def find_split(split: str | Path | Mapping[str, Any], root: Path, restart: bool = False) -> Split:
    """Read a shipped split by name, a JSON file by path, or one list of names per part.

    Paths are relative to ``root`` or the working directory.

    With ``restart`` each part has its own numbering (1.png of ``train`` is not 1.png of ``test``), so parts may share
    names.

    Raises:
        UserError: no such split, or the file is not a split.
    """
    if isinstance(split, Mapping):
        lists = {part: names if isinstance(names, list) else _read_list(names, root) for part, names in split.items()}
        return _checked(lists, "split", split_name(split), restart)
    if str(split) in shipped_splits():
        return _read_split(SHIPPED / f"{split}.json", str(split), restart)
    if path := _file_of(split, root):
        return _read_split(path, path.name, restart)
    raise UserError(
        f"no split {split}: neither a file in {root} or {Path.cwd()} nor a shipped split "
        f"({', '.join(shipped_splits())}): write one with `declouds data split`, or set split='folders' "
        "for a folder with train/ and test/"
    )


def choose(pairs: Sequence[Pair], split: Split, part: str) -> list[Pair]:
    """Return the pairs listed in one part of a split, in its order.

    Raises:
        UserError: the split lists a name without a pair.
    """
    by_name = {pair.name: pair for pair in pairs}
    unknown = [name for name in split.parts[part] if name not in by_name]
    if unknown:
        raise UserError(
            f"split {split.name} lists {part} images that do not exist: {some(unknown)}: "
            "check that it is the split of this data set"
        )
    return [by_name[name] for name in split.parts[part]]


def with_validation(parts: dict[str, list[Pair]], val: float | str | None, seed: int = 0) -> dict[str, list[Pair]]:
    """Fill the ``val`` part if the split has none.

    ``val`` is a fraction of the training pairs, held out by a hash of ``seed`` and name (so that a pair stays in its
    part when others are added); or ``'test'``, which selects models on the test pairs and must be reported with any
    score; or None: no validation.

    Raises:
        UserError: invalid ``val``, or no training pair would be left.
    """
    train = parts.get("train", [])
    if parts.get("val") or val is None:
        return parts
    if val == "test":
        return {**parts, "val": parts.get("test", [])}
    if isinstance(val, str) or not 0 < val < 1:
        raise UserError(f"val must be a fraction between 0 and 1, 'test' or None, got {val!r}")
    if not train:
        return parts
    count = max(1, round(val * len(train)))
    if count >= len(train):
        raise UserError(f"val={val} leaves none of the {len(train)} training pairs: set a smaller fraction or None")
    by_hash = sorted(train, key=lambda pair: hashlib.sha256(f"{seed}:{pair.name}".encode()).digest())
    held_out = {pair.name for pair in by_hash[:count]}
    return {
        **parts,
        "train": [pair for pair in train if pair.name not in held_out],
        "val": [pair for pair in train if pair.name in held_out],
    }


def write_split(path: Path, parts: dict[str, list[str]], about: str) -> None:
    """Write a split file; never replaces an existing one.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    ordered = {part: sorted(names, key=natural_order) for part, names in parts.items()}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps({"about": about, **ordered}, indent=1) + "\n")
    except FileExistsError as error:
        raise UserError(f"{path} already exists: choose another name, or remove it") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): check the folder") from error


def split_name(split: str | Path | Mapping[str, Any]) -> str:
    """Return the name of a split in records: its file name, or those of its lists.

    Raises:
        UserError: it is neither.
    """
    check_arguments(split_name, dict(split=split))
    if not isinstance(split, Mapping):
        return Path(split).name
    return "+".join(part if isinstance(names, list) else Path(names).name for part, names in split.items())


def _file_of(name: str | Path, root: Path) -> Path | None:
    return next((path for path in (root / name, Path(name)) if path.is_file()), None)


def _read_list(name: str | Path, root: Path) -> list[str]:
    """Read names of pairs from a text file, one per line; folders and image suffixes are dropped."""
    path = _file_of(name, root)
    if path is None:
        raise UserError(f"{name}: no such list of names, neither in {root} nor in {Path.cwd()}: check the path")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as text ({error}): give a file with one name per line") from error
    names = [PurePosixPath(line.replace("\\", "/")) for line in lines if line and not line.startswith("#")]
    return [name.stem if name.suffix.lower() in SUFFIXES else name.name for name in names]


def _read_split(path: Path, name: str, restart: bool) -> Split:
    if path.suffix.lower() == ".txt":
        raise UserError(
            f"{path}: a list of names is for a single part: give one per part, split=dict(train='train.txt', "
            "test='test.txt')"
        )
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: is not valid JSON ({error}): write one with `declouds data split`") from error
    lists = {part: content[part] for part in PARTS if part in content} if isinstance(content, dict) else {}
    return _checked(lists, path, name, restart)


def _checked(lists: Mapping[str, Any], place: str | Path, name: str, restart: bool) -> Split:
    """Check the lists of a split and return it."""
    if not lists or set(lists) - set(PARTS) or not all(isinstance(names, list) for names in lists.values()):
        raise UserError(f'{place}: a split must be an object with lists "train", "val", "test" of image names')
    parts = {part: tuple(str(name) for name in names) for part, names in lists.items()}
    counts = Counter((part if restart else "", name) for part, names in parts.items() for name in names)
    repeated = sorted({name for (_, name), count in counts.items() if count > 1}, key=natural_order)
    if repeated:
        raise UserError(f"{place}: lists images more than once: {some(repeated)}: list each image once, in one part")
    return Split(name, parts)
