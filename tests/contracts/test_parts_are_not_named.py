"""Nothing but models, weights and configs names the parts of a method, so that every method works everywhere."""

import ast
from pathlib import Path

import pytest

import declouds

ROOT = Path(declouds.__file__).parent
FOLDERS = ("training", "evaluation", "scenes", "runs", "report", "experiments", "commands")
PARTS = {"reference", "denoiser", "fusion"}


def named(path):
    """Return the parts of Diffusion Enhancement that a file names: as an attribute, an argument or a config key."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return {word for word in found if word in PARTS or word.removesuffix("_weights").removesuffix("_stages") in PARTS}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_part_of_diffusion_enhancement_is_named(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    hits = {(str(path.relative_to(ROOT)), word) for path in files for word in named(path)}
    assert hits == set()
