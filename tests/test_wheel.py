"""The wheel: it holds the package and nothing else, and clears a scene with what it requires alone."""

import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import declouds

ROOT = Path(__file__).resolve().parents[1]
DATA = re.compile(
    r"py\.typed|weights/(zoo\.json|general-\d+\.safetensors)|scenes/preview\.html|report/page/[\w.]+|scaffold/templates/.+\.template"
    r"|datamodules/split_files/\w+\.json|experiments/reproduce/tables/\w+\.toml"
)

# Before anything else: modules of other distributions are as if they were not installed.
ONLY = """
import sys

class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Only())
from declouds.cli import main

main(["predict", {scene!r}, "-o", {output!r}, "--preview"])
import declouds

print(declouds.__file__)
main(["train", {config!r}])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    source = folder / "source"  # setuptools builds in the folder of the source
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "declouds"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", folder, source], check=True)
    (found,) = folder.glob("declouds-*.whl")
    return found


def required(name, found):
    """Collect the distributions that one needs, without extras."""
    if (own := canonicalize_name(name)) in found:
        return
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return  # of another platform
    found.add(own)
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            required(requirement.name, found)


def test_it_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "declouds").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    data = {name.removeprefix("declouds/") for name in names - modules}
    assert not [name for name in data if not DATA.fullmatch(name)]
    for needed in ("py.typed", "weights/zoo.json", "scenes/preview.html", "report/page/index.html"):
        assert needed in data
    assert wheel.stat().st_size < 12e6
    assert not re.search(r"^Requires-Dist: (torchgeo|timm|lpips|gradio)[^;]*$", metadata, re.MULTILINE)


def test_a_scene_is_cleared_with_what_it_requires(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    needed = set()
    required("declouds", needed)
    installed = importlib.metadata.packages_distributions()
    hidden = {module for module, owners in installed.items() if not needed & set(map(canonicalize_name, owners))}
    assert {"torchgeo", "timm", "lpips", "torchmetrics"} <= hidden and not {"torch", "rasterio", "declouds"} & hidden
    scene, output = ROOT / "tools" / "demo_images" / "bahamas.tif", tmp_path / "clear.tif"
    config = ROOT / "configs" / "de_simulated.py"
    code = ONLY.format(hidden=hidden, scene=str(scene), output=str(output), config=str(config))
    environment = os.environ | dict(PYTHONPATH=str(tmp_path / "site"), OMP_NUM_THREADS="1", DECLOUDS_OFFLINE="1")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert output.exists() and (tmp_path / "clear.html").exists(), done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(tmp_path / "site")
    missing = 'declouds train needs torchgeo here, which comes with what training needs: pip install "declouds[train]"'
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"declouds: {missing}")


def test_one_version_everywhere():
    files = {
        "pyproject.toml": r'^version = "(.+)"$',
        "CITATION.cff": r"^version: (.+)$",
        "CHANGELOG.md": r"^## (\S+)",
        "qgis/declouds_processing/metadata.txt": r"^version=(.+)$",
    }
    found = {name: re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)[1] for name, pattern in files.items()}
    assert found == dict.fromkeys(files, declouds.__version__)
