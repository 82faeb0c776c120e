"""What `declouds new` writes is clean, passes its own tests and trains, for every kind of part."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from declouds.scaffold.kinds import KINDS
from declouds.scaffold.names import LONGEST
from declouds.scaffold.plugin import plugin_files, use_command, write_plugin

ROOT = Path(__file__).resolve().parents[2]

# Trains the configs that it is given one after another, and runs other scripts, in one process: torch is imported once.
USE = """
import importlib, runpy, sys
from pathlib import Path
from declouds.cli import main
for path in map(Path, sys.argv[1:]):
    importlib.import_module(path.parents[1].name)
    if path.parent.name == "configs":
        stages = "reference_stages" if "OnePass" in path.read_text() else "stages"
        count = 1 if stages == "reference_stages" else path.read_text().count("dict(name=")
        short = [f"{stages}.{number}.iterations=1" for number in range(count)]
        few = ["datamodule.size=32", "datamodule.train=2", "datamodule.val=1", "val.images=1", "val.panels=0"]
        main(["train", str(path), "--work-dir", f"work/{path.stem}", "--cfg-options", *short, *few])
    else:
        runpy.run_path(str(path), run_name="__main__")
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Return kind -> folder of a package of it."""
    folder = tmp_path_factory.mktemp("plugins")
    return {kind: write_plugin(kind, f"my_{kind}", folder) for kind in KINDS}


def run(packages, *arguments):
    """Run Python where all the packages are importable."""
    folders = [ROOT, *(folder / "src" for folder in packages.values())]
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=packages["fusion"].parent,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, folders)), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_of_every_package_pass(packages):
    lines = run(packages, "-m", "pytest", "-v", "-p", "no:cacheprovider", *packages.values()).splitlines()
    for kind in KINDS:
        outcomes = [line.split()[1] for line in lines if f"test_my_{kind}.py::" in line]
        assert len(outcomes) > 1 and set(outcomes) == {"PASSED"}, (kind, outcomes)


def test_every_config_trains_and_the_example_runs(packages):
    uses = {kind: folder / use_command(kind, folder.name).split()[-1] for kind, folder in packages.items()}
    told = run(packages, "-c", USE, *uses.values())
    assert "of what it finds is cloud" in told
    trained = {path.parent.name for path in packages["fusion"].parent.glob("work/*/model.safetensors")}
    assert trained == {path.stem for path in uses.values() if path.parent.name == "configs"}
    for path in uses.values():  # the part of the package is what was trained with
        assert f'type="{"".join(word.title() for word in path.stem.split("_"))}"' in path.read_text() or (
            path.name == "find_clouds.py"
        )


@pytest.mark.parametrize("name", ["a", "my_part", "n" * LONGEST])
def test_it_is_clean_by_its_own_settings(tmp_path, name):
    for kind in KINDS:
        for path, text in plugin_files(kind, name).items():
            (tmp_path / kind / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / kind / path).write_text(text)
    for task in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *task, "--no-cache", str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
