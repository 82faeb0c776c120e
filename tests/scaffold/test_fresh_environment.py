"""The shortest path of the docs in an environment of its own, from `declouds new` to `pip uninstall`."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = [f"stages.{number}.iterations=1" for number in range(3)]
TINY += ["datamodule.size=32", "datamodule.train=2", "datamodule.val=1", "val.images=1", "val.panels=0"]
OFFLINE = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]


def shortest_path(page):
    """Return the commands of a page from `declouds new` to training."""
    (block,) = re.findall(r"```bash\n(declouds new .*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.fixture
def fresh(tmp_path):
    """Return a function that runs a command line in a new environment, which sees what this one has installed."""
    if importlib.util.find_spec("pip") is None:  # importing it would keep setuptools from replacing distutils
        pytest.skip("no pip")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", venv], check=True)
    own = sysconfig.get_path("purelib", vars=dict(base=str(venv), platbase=str(venv)))
    (seen,) = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # `addsitedir` also reads the .pth files there, by which editable installations work.
    Path(own, "parent.pth").write_text(f"{ROOT}\nimport site; site.addsitedir({seen!r})\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= dict(OMP_NUM_THREADS="1", COLUMNS="200", PIP_CONFIG_FILE=os.devnull)

    def run(*words, code=0):
        done = subprocess.run(
            [venv / "bin" / "python", "-m", *map(str, words)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr.splitlines()

    return run


def test_contributing_and_the_docs_show_the_same_path():
    path = shortest_path("CONTRIBUTING.md")
    assert [words[0] for words in path] == ["declouds", "pip", "pytest", "declouds"]
    assert shortest_path("docs/add_a_part.md") == path


def test_a_plugin_is_written_installed_tested_trained_with_broken_and_uninstalled(fresh, tmp_path):
    new, install, test, train = shortest_path("docs/add_a_part.md")
    train += ["--work-dir", "run", "--cfg-options", *TINY]
    fresh(*new)
    fresh(*install, *OFFLINE)
    assert re.search(r"MyFusion +Weight that falls with the distance", fresh("declouds", "models", "fusion"))
    assert re.search(r"\b2 passed", fresh(*test))
    fresh(*train)
    weights = tmp_path / "run" / "model.safetensors"
    load = ["timeit", "-n1", "-r1", "import declouds", f"declouds.load_model({str(weights)!r})"]
    fresh(*load)

    module = tmp_path / "my_fusion" / "src" / "my_fusion" / "my_fusion.py"
    module.write_text(f"import a_library_that_is_not_there\n{module.read_text()}")
    again = ["declouds", "train", train[2], "--dry-run"]
    warning, error = fresh(*again, code=2)
    cause = "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"
    origin = "plugin my_fusion (my_fusion, package my-fusion 0.1.0)"
    assert warning == f"{origin} is skipped: {cause}"
    assert error.startswith("declouds: unknown fusion 'MyFusion': known: ")
    fix = "install a_library_that_is_not_there in the environment of declouds"
    assert error.endswith(f"; {origin} failed and may hold it: {cause}: {fix}")

    fresh("pip", "uninstall", "-y", "my-fusion", "--disable-pip-version-check")
    (error,) = fresh(*again, code=2)
    assert error.startswith("declouds: unknown fusion 'MyFusion': known: DisagreementWeight, ")
    assert error.endswith(", and the parts of plugins once these are installed")
    fault = "asks for 'MyFusion', which is not a registered part: install its plugin here"
    assert fresh(*load, code=1)[-1] == f"declouds.errors.UserError: {weights} {fault}"
