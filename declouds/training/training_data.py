"""Data of a stage: patches for training, whole images with start noise for evaluation.

All randomness depends on the seed and the position in the stream of samples, not on generator state. Resumed runs, runs
with workers and distributed runs therefore see the same patches as an uninterrupted run in a single process.
"""

import hashlib
import itertools
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from declouds.datamodules.downsample import any_of, downsample, downsampled_size
from declouds.errors import UserError
from declouds.scenes.sampling.noise import noise_for

PREFETCH = 4  # batches that each worker reads ahead, so that a slow image does not hold up the training


class TrainingPatches(Dataset):
    """An endless stream of patches, addressed by position; `Augmentation` changes them a batch at a time.

    Args:
        dataset: dicts with ``cloudy``, ``clear``, ``name``; by ``draw(index, seed)``, if it has that, with a seed of
            the position, so that each position has a pair of its own.
        reduce: downsampling factor, applied before cropping.
        crop: side of the square patch in downsampled pixels; None uses whole images.
        seed: seed of order and crops.
        stage: number of the stage, part of the seed.

    Raises:
        UserError: an image smaller than the patch.
    """

    def __init__(
        self,
        dataset: Dataset,
        reduce: int = 1,
        crop: int | None = None,
        seed: int = 0,
        stage: int = 0,
    ) -> None:
        self.dataset = dataset
        self.length = len(dataset)  # type: ignore[arg-type]
        if self.length == 0:
            raise UserError("the training split is empty: check the data folder and its split file")
        self.reduce, self.crop, self.seed, self.stage = reduce, crop, seed, stage
        for position, size in enumerate(getattr(dataset, "sizes", ())):  # where known, before any pixel is read
            self._check_size(dataset.names[position], *size)  # type: ignore[attr-defined]
        self._permutation: tuple[int, list[int]] = (-1, [])

    def index_of(self, position: int) -> int:
        """Return the image at ``position`` of the stream: every epoch is a fresh permutation."""
        epoch, place = divmod(position, self.length)
        if self._permutation[0] != epoch:
            generator = torch.Generator().manual_seed(self._seed_of("epoch", epoch))
            self._permutation = (epoch, torch.randperm(self.length, generator=generator).tolist())
        return self._permutation[1][place]

    def __getitem__(self, position: int) -> dict[str, Any]:
        sample = self._sample(position)
        images = {key: downsample(sample[key], self.reduce).clamp(-1, 1) for key in ("cloudy", "clear")}
        if "valid" in sample:
            images["valid"] = ~any_of(~sample["valid"], self.reduce)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed_of("position", position))
            images = self._crop(images)
        patch = {key: image.contiguous() for key, image in images.items()}
        return dict(patch, name=sample["name"], position=position)

    def _sample(self, position: int) -> dict[str, Any]:
        """Return the pair at a position: one drawn for it alone, if the data set can, else the stored one."""
        draw = getattr(self.dataset, "draw", None)
        index = self.index_of(position)
        return self.dataset[index] if draw is None else draw(index, self._seed_of("draw", position))

    def _seed_of(self, what: str, number: int) -> int:
        return stream_seed(self.seed, self.stage, what, number)

    def _check_size(self, name: str, height: int, width: int) -> None:
        height, width = downsampled_size(height, width, self.reduce)
        if self.crop is not None and min(height, width) < self.crop:
            raise UserError(
                f"{name}: {height}x{width} pixels after downsampling by {self.reduce} is smaller than the patch of "
                f"{self.crop}: lower `crop` or `reduce` of the stage"
            )

    def _crop(self, images: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if self.crop is None:
            return images
        height, width = images["clear"].shape[-2:]
        top = int(torch.randint(height - self.crop + 1, ()))
        left = int(torch.randint(width - self.crop + 1, ()))
        window = (..., slice(top, top + self.crop), slice(left, left + self.crop))
        return {key: image[window] for key, image in images.items()}


def stream_seed(seed: int, stage: int, what: str, number: int) -> int:
    """Return a seed unique to run, stage, purpose, and epoch or position; sums of these would collide."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {stage} {what} {number}".encode(), digest_size=7).digest())


class StageBatches(Sampler):
    """Batches of positions in the stream, this process's share of each.

    The batch of iteration ``i`` covers the same positions for any number of processes.

    Args:
        batch_size: images per iteration over all processes.
        iterations: iterations of the stage.
        rank: rank of this process.
        world_size: number of processes.

    Raises:
        UserError: the batch size is not divisible by the number of processes.
    """

    def __init__(self, batch_size: int, iterations: int, rank: int = 0, world_size: int = 1) -> None:
        if batch_size % world_size:
            raise UserError(f"batch_size={batch_size} is not a multiple of {world_size} processes: choose a multiple")
        self.batch_size, self.iterations = batch_size, iterations
        self.share = batch_size // world_size
        self.first = rank * self.share
        self.start = 0

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in itertools.count(self.start):
            begin = iteration * self.batch_size + self.first
            yield list(range(begin, begin + self.share))


class EvaluationImages(Dataset):
    """Whole images, each with start noise seeded by its name.

    Args:
        dataset: dicts with ``cloudy``, ``clear``, ``name``, and optionally ``mask`` and ``valid``.
        bands: bands of the noise.
        seed: seed of the noise.
        limit: use only the first images.
    """

    metainfo: ClassVar[dict] = {}  # MMEngine warns if missing

    def __init__(self, dataset: Dataset, bands: int, seed: int = 0, limit: int | None = None) -> None:
        self.dataset, self.bands, self.seed = dataset, bands, seed
        self.length = min(len(dataset), limit or len(dataset))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.dataset[index]
        noise = noise_for(sample["name"], self.seed, (self.bands, *sample["clear"].shape[-2:]))
        kept = {key: sample[key] for key in ("cloudy", "clear", "name", "mask", "valid") if key in sample}
        return dict(kept, noise=torch.as_tensor(noise))


def train_loader(patches: TrainingPatches, batches: StageBatches, workers: int) -> DataLoader:
    """Return the training loader of a stage, which is iterated once, so that its workers end with the stage.

    Persistent workers would live until garbage collection, and then take seconds each to exit.
    """
    return DataLoader(
        patches,
        batch_sampler=batches,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        pin_memory=torch.cuda.is_available(),  # the copy to the GPU then runs beside the computation
        worker_init_fn=_exit_quietly,
    )


def _exit_quietly(worker: int) -> None:
    """Suppress a worker's traceback when the main process stops while the worker fetches a batch."""
    default_hook = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, ConnectionError):
            default_hook(kind, error, trace)

    sys.excepthook = hook


def evaluation_loader(images: EvaluationImages, workers: int) -> DataLoader:
    """Return a loader of single images, sharded over the processes by MMEngine's sampler."""
    from mmengine.dataset import DefaultSampler

    return DataLoader(images, batch_size=1, sampler=DefaultSampler(images, shuffle=False), num_workers=workers)
