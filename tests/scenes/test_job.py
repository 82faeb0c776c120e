"""Unfinished work: kept, gone on with to the same bytes, never mixed with other work."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from scipy.io import netcdf_file
from test_joint import PixelModel

from declouds.errors import UserError
from declouds.samplers.ddpm import DDPM
from declouds.scenes.api import remover_of
from declouds.scenes.clear import clear_scene
from declouds.scenes.options import SceneOptions

TILING = dict(tile=48, overlap=20, batch_size=2)


class Counted(PixelModel):
    """Counts its steps, and can be interrupted at one."""

    def __init__(self, stop_at=None):
        super().__init__(DDPM(4))
        self._stop_at, self._steps = stop_at, 0

    def estimate(self, x_t, t, cloudy, prior):
        self._steps += 1
        if self._steps == self._stop_at:
            raise KeyboardInterrupt
        blurred = dict(cloudy=cloudy, prior=prior, x_t=x_t)
        for name, value in blurred.items():  # so that windows matter
            blurred[name] = (value + value.roll(1, 2) + value.roll(1, 3)) / 3
        return super().estimate(t=t, **blurred)


@pytest.fixture
def scene(tmp_path):
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (2, 150, 110)).astype(np.float32)
    pixels[:, 60:, :50] = np.nan
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6), nodata=np.nan)
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", count=2, height=150, width=110, dtype="float32", **grid) as file:
        file.write(pixels)
    return path


def clear(model, scene, output, **options):
    chosen = SceneOptions(**TILING | options)
    with remover_of(model, chosen) as remover:
        clear_scene(remover, scene, output, chosen)
    return output.read_bytes()


def test_every_interrupt_is_gone_on_from_to_the_same_bytes(scene, tmp_path):
    unbroken = Counted()
    expected = clear(unbroken, scene, tmp_path / "whole.tif")
    output = tmp_path / "o.tif"
    for stop_at in range(2, unbroken._steps, 3):
        with pytest.raises(KeyboardInterrupt):
            clear(Counted(stop_at), scene, output)
        assert not output.exists()
        rest = Counted()
        assert clear(rest, scene, output) == expected
        lines = 5  # of windows, at most two of which are computed again
        assert rest._steps <= unbroken._steps - stop_at + 3 * unbroken._steps / (4 * lines)
        assert not list(tmp_path.glob(".*"))
        output.unlink()
        output.with_suffix(".json").unlink()


def test_work_of_other_settings_is_not_mixed_in(scene, tmp_path, caplog):
    output = tmp_path / "o.tif"
    with pytest.raises(KeyboardInterrupt):
        clear(Counted(20), scene, output)
    assert f"the work so far is kept in {tmp_path / '.o.tif.partial'}: the same command resumes" in caplog.text
    for change in (dict(seed=1), dict(tile=50), dict(taper="linear"), dict(nodata=0.5)):
        with pytest.raises(UserError, match=rf"another command .{next(iter(change))} was .*, not .*--restart"):
            clear(Counted(), scene, output, **change)
    os.utime(scene, ns=(1, 1))
    with pytest.raises(UserError, match=r"another command .the scene or its mask has changed"):
        clear(Counted(), scene, output)
    restarted = Counted()
    clear(restarted, scene, output, restart=True)
    assert restarted._steps == 4 * 5 * 2  # steps, lines, batches


def test_work_on_another_sub_dataset_of_the_file_is_not_gone_on_with(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, size in (("z", 2), ("y", 150), ("x", 110)):
            file.createDimension(name, size)
        for name, value in (("day1", 0.2), ("day2", 0.7)):
            file.createVariable(name, "f4", ("z", "y", "x"))[:] = value * np.linspace(0.5, 1, 110)
    day1, day2 = (Path(f'NETCDF:"{tmp_path / "a.nc"}":day{day}') for day in (1, 2))
    with pytest.raises(KeyboardInterrupt):
        clear(Counted(20), day1, tmp_path / "o.tif")
    with pytest.raises(UserError, match="unfinished work of another command"):
        clear(Counted(), day2, tmp_path / "o.tif")
    clear(Counted(), day1, tmp_path / "o.tif")


def test_the_files_that_a_mask_is_made_of_count_as_the_mask(scene, tmp_path):
    with rasterio.open(scene) as file:
        profile = file.profile | dict(driver="GTiff", count=1, dtype="uint8", nodata=None)
    with rasterio.open(tmp_path / "mask.tif", "w", **profile) as file:
        file.write(np.ones((1, 150, 110), np.uint8))
    rasterio.shutil.copy(tmp_path / "mask.tif", tmp_path / "mask.vrt", driver="VRT")
    with pytest.raises(UserError, match="is read for the result"):
        clear(Counted(), scene, tmp_path / "mask.tif", mask=tmp_path / "mask.vrt", overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        clear(Counted(20), scene, tmp_path / "o.tif", mask=tmp_path / "mask.vrt")
    os.utime(tmp_path / "mask.tif", ns=(1, 1))
    with pytest.raises(UserError, match=r"another command .the scene or its mask has changed"):
        clear(Counted(), scene, tmp_path / "o.tif", mask=tmp_path / "mask.vrt")


def test_a_damaged_ledger_is_told(scene, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        clear(Counted(20), scene, tmp_path / "o.tif")
    (tmp_path / ".o.tif.partial" / "ledger.json").write_text("{")
    with pytest.raises(UserError, match=r"unfinished work of another command: repeat .* --restart"):
        clear(Counted(), scene, tmp_path / "o.tif")


def test_a_raster_that_is_missing_or_cut_short_is_told(scene, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        clear(Counted(30), scene, tmp_path / "o.tif")
    (tmp_path / ".o.tif.partial" / "prior.f32").unlink()
    with pytest.raises(UserError, match=r"prior\.f32: is missing or cut short: .* --restart"):
        clear(Counted(), scene, tmp_path / "o.tif")


def test_what_a_kill_while_removing_leaves_is_not_gone_on_with(scene, tmp_path):
    expected = clear(Counted(), scene, tmp_path / "whole.tif", seed=2)
    with pytest.raises(KeyboardInterrupt):
        clear(Counted(30), scene, tmp_path / "o.tif")
    (tmp_path / ".o.tif.partial" / "ledger.json").unlink()
    assert clear(Counted(), scene, tmp_path / "o.tif", seed=2) == expected


def test_work_without_a_finished_row_stands_in_nobodys_way(scene, tmp_path):
    folder = tmp_path / ".o.tif.partial"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "ledger.json").write_text(json.dumps(dict(settings={}, passes=0)))
    clear(Counted(), scene, tmp_path / "o.tif")
    assert not folder.exists()


@pytest.mark.parametrize("what", ["a file", "a link", "a folder of somebody's"])
def test_what_is_no_work_of_ours_is_left_alone(scene, tmp_path, what):
    folder = tmp_path / ".o.tif.partial"
    if what == "a file":
        folder.write_text("mine")
    elif what == "a link":
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        (folder / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for restart in (False, True):
        with pytest.raises(UserError, match="cannot be the folder of unfinished work"):
            clear(Counted(), scene, tmp_path / "o.tif", restart=restart)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_restart_waits_for_who_works_there(scene, tmp_path):
    with pytest.raises(UserError, match="another process works on this output: wait"):
        clear(Nested(scene, tmp_path / "o.tif", restart=True), scene, tmp_path / "o.tif")


@pytest.mark.parametrize("name", ["o.json", "o.png", "o_quality.tif", "o.tif"])
def test_what_is_read_is_never_replaced(scene, tmp_path, name):
    given = dict(overwrite=True, preview=True, quality=True)
    os.rename(scene, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(UserError, match=r"is read for the result|is the input itself|read as a STAC item"):
        clear(Counted(), tmp_path / name, tmp_path / "o.tif", **given)
    assert (tmp_path / name).read_bytes() == before
    os.rename(tmp_path / name, scene)
    mask = tmp_path / name
    with rasterio.open(scene) as file:
        profile = file.profile | dict(driver="GTiff", count=1, dtype="uint8", nodata=None)
    with rasterio.open(mask, "w", **profile) as file:
        file.write(np.ones((1, 150, 110), np.uint8))
    before = mask.read_bytes()
    with pytest.raises(UserError, match="is read for the result"):
        clear(Counted(), scene, tmp_path / "o.tif", mask=mask, **given)
    assert mask.read_bytes() == before


def test_a_folder_in_the_way_is_told_before_any_work(scene, tmp_path):
    (tmp_path / "o.json").mkdir()
    with pytest.raises(UserError, match=r"o\.json: is a folder, and a file has to go there"):
        clear(Counted(), scene, tmp_path / "o.tif", overwrite=True)


def test_two_processes_do_not_work_on_one_output(scene, tmp_path):
    with pytest.raises(UserError, match="another process works on this output: wait"):
        clear(Nested(scene, tmp_path / "o.tif"), scene, tmp_path / "o.tif")


class Nested(Counted):
    """Clears the same scene while it is being cleared."""

    def __init__(self, scene, output, **options):
        super().__init__()
        self.files, self.options = (scene, output), options

    def estimate(self, *args, **kwargs):
        if self._steps == 12:
            clear(Counted(), *self.files, **self.options)
        return super().estimate(*args, **kwargs)


def test_a_killed_process_is_gone_on_from_to_the_same_bytes(scene, tmp_path):
    expected = clear(Counted(), scene, tmp_path / "whole.tif")
    code = f"""
        import sys, time
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        from test_job import Counted, clear

        class Slow(Counted):
            def estimate(self, *args, **kwargs):
                time.sleep(0.02)
                return super().estimate(*args, **kwargs)

        clear(Slow(), Path({str(scene)!r}), Path({str(tmp_path / "o.tif")!r}))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    kills = 0
    for wait in (0.05, 0.15, 0.3):
        process = subprocess.Popen(command)
        folder = tmp_path / ".o.tif.partial"
        while process.poll() is None and not list(folder.glob("pass*.json")):
            time.sleep(0.005)
        time.sleep(wait)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills
    subprocess.run(command, check=True)
    assert (tmp_path / "o.tif").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "o.json",
        "o.tif",
        "scene.tif",
        "whole.json",
        "whole.tif",
    ]


def test_two_processes_share_a_scene_to_the_same_bytes(scene, tmp_path):
    expected = clear(Counted(), scene, tmp_path / "whole.tif")
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        import torch.distributed
        from declouds.scenes.options import SceneOptions
        from declouds.scenes.sampling.ranks import Ranks
        from declouds.scenes.api import remover_of
        from declouds.scenes.clear import clear_scene
        from test_job import Counted, TILING

        torch.distributed.init_process_group("gloo")
        model = Counted()
        with remover_of(model, SceneOptions(**TILING)) as remover:
            clear_scene(remover, {str(scene)!r}, {str(tmp_path / "o.tif")!r}, SceneOptions(**TILING), Ranks.here())
        Path({str(tmp_path)!r}, f"steps{{Ranks.here().rank}}").write_text(str(model._steps))
    """
    (tmp_path / "share.py").write_text(textwrap.dedent(code))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = os.environ | dict(PYTHONPATH=str(Path(__file__).parents[2]))
    done = subprocess.run([*command, str(tmp_path / "share.py")], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.tif").read_bytes() == expected
    steps = [int((tmp_path / f"steps{rank}").read_text()) for rank in (0, 1)]
    assert min(steps) > 0 and max(steps) < 4 * 5 * 2
    assert not list(tmp_path.glob(".*"))


def test_the_summary_tells_what_was_done(scene, tmp_path):
    clear(Counted(), scene, tmp_path / "o.tif", seed=7)
    told = json.loads((tmp_path / "o.json").read_text())
    assert (
        told["source"]["name"] == "scene.tif" and told["settings"]["seed"] == 7 and len(told["model"]["sha256"]) == 64
    )
    missing = 90 * 50
    valid = 150 * 110 - missing
    assert told["pixels"] == dict(valid=valid, nodata=missing, cleared=valid, changed=valid)
    assert told["windows"] == dict(all=20, skipped=2)
