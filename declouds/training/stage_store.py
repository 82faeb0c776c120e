"""Trained stages that runs share: what one has trained, no other trains again.

A stage is known by a digest of everything that its weights depend on, so two runs share a stage exactly if it would
be the same in both. What only sampling reads is not part of it.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from mmengine.dist import get_world_size
from mmengine.registry import MODELS

import declouds
from declouds.atomic_file import replacing
from declouds.download import file_digest
from declouds.errors import UserError
from declouds.registry import PART_REGISTRIES
from declouds.training import checkpoint
from declouds.training.settings import Settings, plain, without_places
from declouds.training.stage_run import StageRun

SHAPES_TRAINING = (
    "seed",
    "precision",
    "ema",
    "custom_hooks",
    "custom_imports",
)  # entries of the config beside model and stages

DIGEST = "digest.txt"  # in the folder of a stage: its digest when it was started
INPUTS = "inputs.json"  # there too: the digest of its inputs, and its iterations

Chain = dict[str, str]  # part -> digest of the stage, or of the file, that its weights come from


def stage_digest(run: StageRun, chain: Chain) -> str:
    """Return the digest of all that the weights of a stage depend on.

    Args:
        run: the stage.
        chain: what the parts of the model have come from.
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
    """Return the digest of what a stage is made from: its model, data, the weights before it, the code of plugins.

    A resumed run must agree in it; it may have another number of processes, other libraries, and more iterations.
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
    """Return what identifies the data of a run, wherever they are stored."""
    data = settings.datamodule
    entries = plain(without_places(settings.config.datamodule, data))
    record = {part: {key: value[key] for key in ("count", "digest")} for part, value in data.split_record().items()}
    return [entries, record, *([data.content()] if hasattr(data, "content") else [])]


def _sha(described: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _files(value: Any) -> Iterator[str]:
    """Yield the state of the files and folders that a config names, for example precomputed priors."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _files(item)
    elif isinstance(value, str) and (path := Path(value)).exists():
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            found = file.stat()
            yield f"{file} {found.st_size} {found.st_mtime_ns}"


def _plugin_sources(value: Any) -> Iterator[str]:
    """Yield the digests of the source files of all parts that are not our own: these have no version here."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _plugin_sources(item)
    elif isinstance(value, dict):
        yield from _plugin_sources(list(value.values()))
        for parts in (*(registry.parts() for registry in PART_REGISTRIES), MODELS.module_dict):
            part = parts.get(str(value.get("type")))
            if part is not None and not part.__module__.startswith(("declouds.", "mmengine.")):
                yield f"{part.__module__} {file_digest(Path(inspect.getfile(part)))}"


class StageStore:
    """A folder of trained stages.

    Args:
        folder: made when it is first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def weights(self, digest: str) -> Path:
        """Return the file of a stage; whole if it is there."""
        return self.folder / f"{digest}.pth"

    def has(self, digest: str) -> bool:
        """Return whether a stage is here."""
        return self.weights(digest).exists()

    def trained_in(self, digest: str) -> str:
        """Return the folder, of a stage of some run, in which a stage was trained."""
        try:
            return json.loads((self.folder / f"{digest}.json").read_text())["trained_in"]
        except (OSError, ValueError, KeyError):
            return "(not recorded)"

    def put(self, digest: str, outcome: dict[str, Any], stage_folder: Path) -> None:
        """Keep the weights of a stage, and say where its logs are.

        What is here already stays, and a folder that was begun as another stage (other data, other given weights,
        another version) is not kept.
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
        """Let one run at a time train a stage; the others wait, and then find it trained.

        Raises:
            UserError: the folder cannot be written.
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
            raise UserError(f"{self.folder} cannot be written to ({error}): give another --stages folder") from error
        try:
            yield
        finally:
            lock.release()
