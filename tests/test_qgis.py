"""The QGIS plugin: what needs no QGIS, in this process, and the plugin as it is packed, in QGIS without a window."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

import declouds
from declouds.cli import build_parser
from declouds.progress import progress_bar

ROOT = Path(__file__).resolve().parents[1]
BAHAMAS = ROOT / "tools" / "demo_images" / "bahamas.tif"
# Debian's qgis_process is a script that adds an option of `qgis` itself, which qgis_process refuses.
QGIS_PROCESS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")


def module_at(path):
    spec = importlib.util.spec_from_file_location(f"qgis_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


child = module_at(ROOT / "qgis" / "declouds_processing" / "child.py")
package = module_at(ROOT / "qgis" / "package.py")


def test_progress_as_lines(monkeypatch, capsys):
    monkeypatch.setenv("DECLOUDS_PROGRESS", "lines")
    with progress_bar("a scene.tif") as move:
        move(description="a scene.tif step 1", completed=0, total=300)
        for _ in range(4):
            move(advance=1)
        move(description="a scene.tif step 2", completed=300)
        move(completed=301)
    with progress_bar("unknown") as move:
        move(advance=1)
    with progress_bar("hidden", 10, shown=False) as move:
        move(advance=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "progress 0% a scene.tif step 1",
        "progress 1% a scene.tif step 1",
        "progress 100% a scene.tif step 2",
    ]
    assert child.PROGRESS.fullmatch(lines[1]).groups() == ("1", "a scene.tif step 1")


def test_choices_become_flags_that_declouds_has():
    assert child.mask_flags("automatic") == ["--mask", "auto"]
    assert child.mask_flags("qa_pixel") == ["--mask", "qa_pixel"]
    assert child.mask_flags("automatic", "m.tif") == ["--mask", "m.tif"]
    assert child.mask_flags("scl", "m.tif") == ["--mask", "m.tif", "--mask-kind", "scl"]
    with pytest.raises(child.ChildError, match="leave out one"):
        child.mask_flags("none", "m.tif")
    assert child.words("--bands B04,B03 --sar 'a b.tif'") == ["--bands", "B04,B03", "--sar", "a b.tif"]
    with pytest.raises(child.ChildError, match="not closed"):
        child.words("--sar 'a b.tif")
    parser = build_parser()
    for mask in child.MASKS:
        for command in ("predict", "mask"):
            args = parser.parse_args([command, "i.tif", "-o", "o.tif", *child.mask_flags(mask)])
            assert args.mask == ("auto" if mask == "automatic" else mask)


def test_the_command_is_that_of_the_setting_or_the_environment_or_the_path(monkeypatch, tmp_path):
    spaced = tmp_path / "my tools" / "declouds"
    spaced.parent.mkdir()
    spaced.write_text("#!/bin/sh\n")
    spaced.chmod(0o755)
    monkeypatch.delenv("DECLOUDS_COMMAND", raising=False)
    monkeypatch.setenv("PATH", str(spaced.parent))
    assert child.find_command("") == ["declouds"]
    monkeypatch.setenv("DECLOUDS_COMMAND", f"'{sys.executable}' -m declouds")
    assert child.find_command("") == [sys.executable, "-m", "declouds"]
    assert child.find_command(f" {spaced} ") == [str(spaced)]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DECLOUDS_COMMAND")
    with pytest.raises(child.ChildError, match=r"^declouds: no such command: install declouds .* DECLOUDS_COMMAND$"):
        child.find_command("")


def test_the_child_does_not_inherit_what_qgis_sets_for_itself():
    ours = dict(PYTHONHOME="/qgis", PYTHONPATH="/qgis", GDAL_DATA="/qgis", PROJ_LIB="/qgis", HOME="/home/me")
    kept = child.environment(ours)
    assert not set(kept) & {"PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "PROJ_LIB"}
    assert kept["HOME"] == "/home/me" and kept["DECLOUDS_PROGRESS"] == "lines"


def test_layers_that_are_no_files_are_refused(tmp_path):
    file = tmp_path / "cube.nc"
    file.touch()
    for source in (str(file), f'NETCDF:"{file}":red', f"{file}|option:X=1"):
        assert child.file_of("layer", "gdal", source) == source.split("|")[0]
    for provider, source in (("wms", str(file)), ("gdal", "/vsimem/x.tif"), ("gdal", f"{file}.gone")):
        with pytest.raises(child.ChildError, match=r"'my layer' is not a file .* save it as a GeoTIFF"):
            child.file_of("my layer", provider, source)


def run_child(code, output, is_canceled=lambda: False):
    progress, lines = [], []
    child.run([sys.executable, "-c", code], str(output), lambda *step: progress.append(step), lines.append, is_canceled)
    return progress, lines


def test_progress_and_other_lines_of_the_child(tmp_path):
    code = "import sys; print('progress 7% ü.tif windows', file=sys.stderr); print('cloud: SCL'); print('bands: 3')"
    assert run_child(code, tmp_path / "o.tif") == ([(7, "ü.tif windows")], ["cloud: SCL", "bands: 3"])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('cloud: x'); sys.exit(print('declouds: a.tif: no such file: check it') or 2)", None),
        ("sys.exit(print('usage: ...') or print('declouds: error: unrecognized arguments: --x') or 2)", None),
        ("1 / 0", "declouds ended with exit code 1: ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", "declouds was ended by signal 9, as systems do when memory runs out"),
    ],
)
def test_errors_of_the_child_are_shown_as_it_wrote_them(code, message, tmp_path):
    message = message or code.split("'")[-2]
    with pytest.raises(child.ChildError) as caught:
        run_child(f"import sys; {code}", tmp_path / "o.tif")
    assert str(caught.value).startswith(message)
    assert message.startswith("declouds was") or str(caught.value) == message


@pytest.mark.parametrize("was_there", [False, True])
def test_a_cancelled_child_is_ended_while_it_is_silent_and_leaves_nothing(was_there, tmp_path):
    output, started = tmp_path / "o.tif", tmp_path / "started"
    folder = child.unfinished(str(output))
    if was_there:
        folder.mkdir()
    code = f"import os, pathlib, time; os.makedirs({str(folder)!r}, exist_ok=True); pathlib.Path({str(started)!r})"
    code += ".write_text(str(os.getpid())); time.sleep(600)"

    def is_canceled():
        return started.exists() and started.read_text() != ""

    with pytest.raises(child.ChildError, match=r"^declouds was cancelled$"):
        run_child(code, output, is_canceled)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert folder.exists() == was_there  # what another command has left stays


def test_the_work_folder_is_that_of_declouds(tmp_path):
    from declouds.scenes.options import SceneOptions
    from declouds.scenes.products import Products

    output = tmp_path / "clear.tif"
    products = Products(output, SceneOptions(quality=True))
    assert child.unfinished(str(output)) == products.work_folder
    assert Path(child.quality_of(str(output))) == products.beside["quality"]


def test_the_archive_holds_the_plugin_and_is_the_same_each_time(tmp_path, monkeypatch):
    package.pack(tmp_path / "one.zip")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    package.pack(tmp_path / "new" / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "new" / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        names = [Path(name).relative_to("declouds_processing").name for name in archive.namelist()]
        metadata = archive.read("declouds_processing/metadata.txt").decode()
    assert {"__init__.py", "child.py", "icon.svg", "metadata.txt", "LICENSE"} <= set(names)
    assert all(Path(name).suffix in (".py", ".svg", ".txt", "") for name in names)
    assert f"version={declouds.__version__}\n" in metadata


@pytest.fixture(scope="module")
def qgis(tmp_path_factory):
    """Return a function that runs an algorithm in QGIS, with a profile of its own and the packed plugin."""
    if QGIS_PROCESS is None:
        pytest.skip("no qgis_process: install Debian's package qgis")
    folder = tmp_path_factory.mktemp("qgis")
    package.pack(folder / "plugin.zip")
    with zipfile.ZipFile(folder / "plugin.zip") as archive:
        archive.extractall(folder / "plugins")
    (folder / "run").mkdir(mode=0o700)
    settings = dict(
        QT_QPA_PLATFORM="offscreen",
        XDG_RUNTIME_DIR=str(folder / "run"),
        XDG_CONFIG_HOME=str(folder / "config"),
        QGIS_CUSTOM_CONFIG_PATH=str(folder / "profile"),
        QGIS_PLUGINPATH=str(folder / "plugins"),
        PATH=f"{Path(QGIS_PROCESS).parent}:/usr/bin:/bin",  # QGIS looks there for the home of its Python
        PYTHONPATH=str(folder / "of_qgis"),
    )

    def qgis(*words, command="/nowhere/declouds"):
        return subprocess.run(
            [QGIS_PROCESS, *map(str, words)],
            env=dict(os.environ, **settings, DECLOUDS_COMMAND=command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            timeout=600,
        )

    enabled = qgis("plugins", "enable", "declouds_processing")
    assert "Enabled declouds_processing" in enabled.stdout, enabled.stdout
    return qgis


@pytest.fixture
def bahamas(tmp_path):
    """A copy of a real scene: QGIS writes its statistics beside every raster that it opens."""
    return Path(shutil.copy(BAHAMAS, tmp_path))


def test_a_real_scene_is_cleared_in_qgis(qgis, bahamas, tmp_path):
    output = tmp_path / "clear.tif"
    command = f"{sys.executable} -m declouds"  # in the virtual environment, which PYTHONPATH does not lead astray
    choices = (f"--INPUT={bahamas}", f"--OUTPUT={output}", "--QUALITY=1", "--EXTRA=--device cpu --dilate 2")
    answer = qgis("run", "declouds:removeclouds", *choices, command=command)
    assert answer.returncode == 0, answer.stdout
    assert "bahamas.tif finding clouds" in answer.stdout and "cloud: the detector OwnChange" in answer.stdout
    assert f"QUALITY_MAPS:\t{tmp_path / 'clear_quality.tif'}" in answer.stdout
    with rasterio.open(bahamas) as before, rasterio.open(output) as after:
        assert (after.crs, after.transform, after.dtypes) == (before.crs, before.transform, before.dtypes)
        changed = (before.read() != after.read()).any(axis=0)
    with rasterio.open(tmp_path / "clear_quality.tif") as quality:
        said = np.nan_to_num(quality.read(quality.descriptions.index("changed") + 1))
    assert 0.05 < changed.mean() < 0.5 and not changed[said == 0].any()


def test_choices_of_a_mask_reach_the_child(qgis, bahamas, tmp_path):
    """A stand-in for `declouds` that writes what it was asked for."""
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(
        "import os, shutil, sys\n"
        "print('asked', *sys.argv[1:], '|', os.environ.get('PYTHONPATH'))\n"
        f"shutil.copy({str(bahamas)!r}, sys.argv[sys.argv.index('--output') + 1])\n"
    )
    output = tmp_path / "mask.tif"
    choices = (f"--INPUT={bahamas}", "--DETECTOR=BrightWhite", "--EXTRA=--dilate 3", f"--OUTPUT={output}")
    answer = qgis("run", "declouds:maskclouds", *choices, command=f"{sys.executable} {stand_in}")
    assert answer.returncode == 0, answer.stdout
    flags = f"--mask auto --dilate 3 --detector BrightWhite --output {output} --overwrite"
    assert f"asked mask {bahamas} {flags} | None" in answer.stdout


def test_errors_in_qgis(qgis, bahamas, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    choices = ("run", "declouds:removeclouds", f"--INPUT={bahamas}", f"--OUTPUT={results / 'clear.tif'}")
    missing = qgis(*choices)
    assert missing.returncode != 0
    assert "/nowhere/declouds: no such command: install declouds in a Python of its own" in missing.stdout
    refused = qgis(*choices, "--EXTRA=--dilate few", command=f"{sys.executable} -m declouds")
    assert refused.returncode != 0
    written = r"(^|\t)declouds predict: error: argument --dilate: invalid int value: 'few'$"
    assert re.search(written, refused.stdout, re.MULTILINE), refused.stdout
    assert "Traceback" not in refused.stdout
    assert list(results.iterdir()) == []
