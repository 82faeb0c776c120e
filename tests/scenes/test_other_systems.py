"""Scenes are cleared where the system lacks what Linux has."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio


@pytest.mark.parametrize("missing", [("fcntl", "resource"), ()], ids=["windows", "macos"])
def test_other_systems_clear_scenes_too(tmp_path, missing):
    """Windows has no fcntl and no resource, macOS neither posix_fallocate nor sched_getaffinity."""
    pixels = np.random.default_rng(0).integers(50, 100, (3, 40, 50)).astype(np.uint8)
    grid = dict(driver="GTiff", count=3, height=40, width=50, dtype="uint8")
    with rasterio.open(tmp_path / "s.tif", "w", photometric="RGB", **grid) as file:
        file.write(pixels)
    script = tmp_path / "other.py"
    script.write_text(
        textwrap.dedent(f"""
        import importlib.abc, os, signal, sys

        class Block(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name in {missing!r}:
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Block())
        for name in {missing!r}:
            sys.modules.pop(name, None)
        for name in ("posix_fallocate", "sched_getaffinity", "waitid", "killpg"):
            delattr(os, name)
        if {missing!r}:
            del signal.SIGHUP
        import declouds.download, declouds.runs.machine, declouds.experiments.engines.local
        from declouds.models import build_model
        from declouds.scenes.api import remove_clouds
        declouds.runs.machine.machine_facts()
        model = build_model(dict(type="OnePass", reference=dict(type="Identity"), losses=[]))
        remove_clouds({str(tmp_path / "s.tif")!r}, model, output={str(tmp_path / "o.tif")!r}, tile=32, overlap=8)
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "o.tif") as file:
        np.testing.assert_array_equal(file.read(), pixels)
