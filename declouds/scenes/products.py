"""The files that a cleared scene becomes: written in its work folder, and given their names together at the end."""

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.image_io import orientation
from declouds.scenes.cleared_image import Block
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.picture import write_picture
from declouds.scenes.rasters.scene import Scene
from declouds.scenes.rasters.writer import LAYOUT, SIDECARS, SceneWriter, guarded
from declouds.scenes.summary import write_summary


class Products:
    """The output `NAME.tif` and the requested files beside it.

    Args:
        destination: the output.
        options: the user's choices.
    """

    def __init__(self, destination: Path, options: SceneOptions) -> None:
        self.destination, self.options = destination, options
        self.work_folder = destination.with_name(f".{destination.name}.partial")
        stem = destination.stem
        names = dict(summary=f"{stem}.json")
        if options.quality:
            names["quality"] = f"{stem}_quality.tif"
        if options.preview:
            preview = f"{stem}_preview" if self.makes_picture else stem
            names |= dict(picture=f"{preview}.png", page=f"{preview}.html")
        self.beside = {kind: destination.with_name(name) for kind, name in names.items()}

    @property
    def makes_picture(self) -> bool:
        """Whether the output is a PNG."""
        return self.destination.suffix.lower() == ".png"

    def check(self, inputs: Iterable[Path] = ()) -> None:
        """Refuse to replace files that nobody asked to replace, and what the result is made of in any case.

        Args:
            inputs: the files that are read.

        Raises:
            UserError: one of the outputs is one of them, exists, or is a folder.
        """
        if self.makes_picture and self.options.cog:
            raise UserError(f"{self.destination}: a PNG is not a GeoTIFF: leave out --cog, or write a .tif")
        outputs = [self.destination, *self.beside.values()]
        for path in outputs:
            if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
                raise UserError(f"{path}: would be replaced, and is read for the result: choose another output")
        for path in [*outputs, *(self.destination.with_name(self.destination.name + suffix) for suffix in SIDECARS)]:
            if path.is_dir():
                raise UserError(f"{path}: is a folder, and a file has to go there: choose another output")
        if self.options.overwrite or (self._marker.exists() and not self.options.restart):
            return
        for path in self.beside.values():
            if os.path.lexists(path):
                raise UserError(f"{path} exists already: choose another output, or ask to overwrite it (--overwrite)")

    def check_space(self, scene: Scene, channels: int) -> None:
        """Look whether the disk holds the intermediate results and, at worst, the uncompressed products.

        Raises:
            UserError: it does not.
        """
        pixels, bands = math.prod(scene.size), len(scene.order)
        product = pixels * bands * scene.dtype.itemsize * (2.4 if self.options.cog else 1)
        quality = pixels * 4 * (bands + 3) if self.options.quality else 0
        had = sum(path.stat().st_size for path in self.work_folder.glob("*.f32"))
        needed = 4 * channels * pixels + product + quality - had
        free = shutil.disk_usage(self.destination.parent).free
        if needed > free:
            raise UserError(
                f"{self.destination.parent}: {needed / 1e9:.3g} GB are needed for the output and intermediate results, "
                f"{free / 1e9:.3g} GB are free: make room, or write the output elsewhere"
            )

    def write(self, scene: Scene, blocks: Iterator[Block]) -> None:
        """Write the product, and the quality beside it, in the work folder.

        Args:
            scene: the original.
            blocks: what is written.

        Raises:
            UserError: the disk refuses.
        """
        with SceneWriter(self.work_folder / "product.tif", scene.file, scene.written, scene.nodata) as writer:
            quality = None
            for block in blocks:
                writer.write(block.window, block.values)
                if self.options.quality:
                    quality = quality or self._open_quality(scene.file, scene.cleared, block)
                    place = rasterio.windows.Window(block.window.col, block.window.row, *block.changed.shape[::-1])
                    guarded(self.beside["quality"], quality.write, _quality_bands(block), window=place)
            if quality is not None:
                guarded(self.beside["quality"], quality.close)

    def publish(self, scene: Scene, summary: dict[str, Any]) -> None:
        """Finish the files, and give them their names, the product last.

        Raises:
            UserError: the disk refuses, or one of the files has appeared since.
        """
        product = self.work_folder / "product.tif"
        made = {"quality": self.work_folder / "quality.tif"}
        if self.options.cog:
            from declouds.scenes.rasters.cog import write_cog

            product = self.work_folder / "cog.tif"
            product.unlink(missing_ok=True)  # of a process that was killed here
            write_cog(self.work_folder / "product.tif", product)
        if self.makes_picture:
            product = self.work_folder / "product.png"
            write_picture(self.work_folder / "product.tif", product, orientation(scene.file))
        if self.options.preview:
            from declouds.scenes.preview import write_preview

            made |= dict(picture=self.work_folder / "picture.png", page=self.work_folder / "page.html")
            indexes = [*scene.written, *scene.conditions]
            write_preview(
                scene.file, indexes, product, made["picture"], made["page"], self.destination.stem, summary=summary
            )
        made["summary"] = self.work_folder / "summary.json"
        write_summary(made["summary"], summary)
        final = {self.beside[kind]: made[kind] for kind in self.beside} | {self.destination: product}
        self._rename(final)

    def _rename(self, final: dict[Path, Path]) -> None:
        """Give the files their names, in this order."""
        if not self.options.overwrite and not self._marker.exists():
            for path in final:
                if os.path.lexists(path):
                    raise UserError(
                        f"{path} has appeared since the command started: move it away and repeat the command, which "
                        f"finds its work in {self.work_folder}"
                    )
        self._marker.touch()
        for path, finished in final.items():
            os.replace(finished, path)
        for suffix in SIDECARS if self.options.overwrite else ():
            self.destination.with_name(self.destination.name + suffix).unlink(missing_ok=True)

    @property
    def _marker(self) -> Path:
        """The file that marks that renaming of the products has begun."""
        return self.work_folder / "publishing"

    def _open_quality(self, scene: DatasetReader, indexes: Sequence[int], block: Block) -> Any:
        """Create the file with the quality, its bands described."""
        names = [scene.descriptions[index - 1] or f"band {index}" for index in indexes]
        described = ["weight of the prior"] if block.weight is not None else []
        if block.deviation is not None:
            kind = "calibrated standard deviation" if block.calibrated else "standard deviation"
            described += [f"{kind} of {name}" for name in names]
        described += [] if block.left is None else ["further bands left"]
        described.append("changed")
        profile = dict(
            LAYOUT,
            **dict(height=scene.height, width=scene.width, count=len(described), dtype="float32", predictor=3),
            **dict(crs=scene.crs, transform=None if scene.transform.is_identity else scene.transform, nodata=np.nan),
        )
        file = guarded(self.beside["quality"], rasterio.open, self.work_folder / "quality.tif", "w", **profile)
        file.descriptions = described
        return file


def _quality_bands(block: Block) -> np.ndarray:
    """Return the bands of the quality file. Shapes: (bands, h, w) float32."""
    bands = [] if block.weight is None else [block.weight[None]]
    bands += [] if block.deviation is None else [block.deviation]
    bands += [] if block.left is None else [block.left[None]]
    return np.concatenate([*bands, block.changed[None]]).astype(np.float32)
