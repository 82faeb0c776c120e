"""Store of trained stages shared by runs, so that none is trained twice.

A stage is identified by a digest of everything its weights depend on, so runs share a stage exactly if it would be
identical in both. Entries that only affect sampling are not part of the digest.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from mmengine.dist import get_world_size

import declouds
from declouds.atomic_file import replacing
from declouds.digests import source_digest
from declouds.errors import UserError
from declouds.registry import REGISTRIES
from declouds.training import checkpoint
from declouds.training.settings import Settings, plain, without_places
from declouds.training.stage_run import StageRun

SHAPES_TRAINING = (
    "seed",
    "precision",
    "compile",
    "ema",
    "custom_hooks",
    "custom_imports",
)  # config entries besides model and stages that affect the weights

DIGEST = "digest.txt"  # in the folder of a stage: its digest when it was started
INPUTS = "inputs.json"  # in the same folder: the digest of its inputs, and its iterations

Chain = dict[str, str]  # part -> digest of the stage or file its weights come from


def stage_digest(run: StageRun, chain: Chain) -> str:
    """Return the digest of everything the weights of a stage depend on.

    Args:
        run: the stage.
        chain: origin of the weights of the model's parts.
    """
    settings = run.settings
    described = dict(
        **_described(run, chain),
        stage=plain(vars(run.stage) | {"val_interval": None}),
        processes=get_world_size(),
        versions=[declouds.__version__, torch.__version__],
    )
    described["config"] = {key: plain(settings.config.get(key)) for key in SHAPES_TRAINING}
    return _sha(described)


def input_digest(run: StageRun, chain: Chain) -> str:
    """Return the digest of the inputs of a stage: its model, data, initial weights and plugin code.

    It must match on resume, unlike the number of processes, library versions and number of iterations.
    """
    return _sha(_described(run, chain))


def _described(run: StageRun, chain: Chain) -> dict[str, Any]:
    settings, model = run.settings, run.model_config
    read = {
        key: value for key, value in model.items() if key not in run.model_class.sampling_entries and value is not None
    }
    parts = run.used | run.changes
    return dict(
        number=run.number,
        model=plain(read),
        files=sorted(_files(read)),
        plugins=sorted(set(_plugin_sources([read, vars(run.stage), settings.config.datamodule]))),
        chain={part: digest for part, digest in chain.items() if part in parts},
        data=_data(settings),
    )


def _data(settings: Settings) -> list[Any]:
    """Return what identifies the data of a run, independent of their path."""
    data = settings.datamodule
    entries = plain(without_places(settings.config.datamodule, data))
    record = {part: {key: value[key] for key in ("count", "digest")} for part, value in data.split_record().items()}
    return [entries, record, *([data.content()] if hasattr(data, "content") else [])]


def _sha(described: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _files(value: Any) -> Iterator[str]:
    """Yield path, size and mtime of the files that a config names, for example precomputed priors."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _files(item)
    elif isinstance(value, str) and (path := Path(value)).exists():
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            stat = file.stat()
            yield f"{file} {stat.st_size} {stat.st_mtime_ns}"


def _plugin_sources(value: Any) -> Iterator[str]:
    """Yield the digests of the source files of external parts, which have no version here."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _plugin_sources(item)
    elif isinstance(value, dict):
        yield from _plugin_sources(list(value.values()))
        for registry in REGISTRIES:
            part = registry.parts().get(str(value.get("type")))
            if part is not None and not part.__module__.startswith(("declouds.", "mmengine.")):
                yield f"{part.__module__} {source_digest(part)}"


class StageStore:
    """A folder of trained stages.

    Args:
        folder: folder of the store, created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def weights(self, digest: str) -> Path:
        """Return the weights file of a stage; complete if it exists."""
        return self.folder / f"{digest}.pth"

    def has(self, digest: str) -> bool:
        """Return whether the store has a stage."""
        return self.weights(digest).exists()

    def trained_in(self, digest: str) -> str:
        """Return the folder in which a stage was trained."""
        try:
            return json.loads((self.folder / f"{digest}.json").read_text())["trained_in"]
        except (OSError, ValueError, KeyError):
            return "(not recorded)"

    def put(self, digest: str, outcome: dict[str, Any], stage_folder: Path) -> None:
        """Store the weights of a stage and the location of its logs.

        Existing entries are kept, and a folder that was started as another stage (other data, other pretrained weights,
        another version) is not stored.
        """
        begun = stage_folder / DIGEST
        if self.has(digest) or not begun.exists() or begun.read_text() != digest:
            return
        about = dict(trained_in=str(stage_folder.resolve()), stage=stage_folder.name)
        with replacing(self.folder / f"{digest}.json") as temporary:
            temporary.write_text(json.dumps(about, indent=1))
        checkpoint.atomic_save(outcome, self.weights(digest))

    @contextmanager
    def claimed(self, digest: str) -> Iterator[None]:
        """Let one run at a time train a stage; others wait and then reuse it.

        Raises:
            UserError: the folder is not writable.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{digest}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                print(f"another run is training this stage ({self.weights(digest)}): waiting for it", flush=True)
                lock.acquire()
        except OSError as error:
            raise UserError(f"{self.folder} is not writable ({error}): give another --stages folder") from error
        try:
            yield
        finally:
            lock.release()
