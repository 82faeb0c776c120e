"""A plugin that fails: whoever misses a part is told which, of which package, why, and what to do."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from declouds.errors import UserError
from declouds.models import build_model
from declouds.registry import FUSIONS, failed_plugins, load_plugins
from declouds.weights.file import check_parts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a plugin: a module, and the metadata that pip leaves."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(module, text):
        if text is not None:
            (tmp_path / f"{module}.py").write_text(text)
        metadata = tmp_path / f"{module}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[declouds.plugins]\n{module} = {module}\n")
        load_plugins.cache_clear()

    load_plugins.cache_clear()
    yield write
    load_plugins.cache_clear()
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def told(module, cause, cure):
    return (
        f"; plugin {module} ({module}, package {module.replace('_', '-')} 1.2) failed and may hold it: {cause}: {cure}"
    )


FAULTS = {
    "needs_more": (
        "import a_library.of_parts",
        "ModuleNotFoundError: No module named 'a_library'",
        "install a_library in the environment of declouds",
    ),
    "half_gone": (None, "ModuleNotFoundError: No module named 'half_gone'", "reinstall that package"),
    "two_lines": (
        "raise ValueError('first line\\nand second')",
        "ValueError: first line and second",
        "fix or update that package",
    ),
    "of_another_time": (
        "from declouds.layers import what_was_once_there",
        "ImportError: cannot import name 'what_was_once_there' from 'declouds.layers' "
        f"({ROOT / 'declouds' / 'layers' / '__init__.py'})",
        "fix or update that package",
    ),
}


@pytest.mark.parametrize("module", FAULTS)
def test_the_error_names_plugin_package_cause_and_cure(install, module):
    text, cause, cure = FAULTS[module]
    install(module, text)
    with pytest.raises(UserError) as raised:
        FUSIONS.build(dict(type="Xyz"))  # nobody has loaded the plugins yet
    assert str(raised.value).startswith("unknown fusion 'Xyz': known: DisagreementWeight, ")
    assert str(raised.value).endswith(told(module, cause, cure))
    assert "\n" not in str(raised.value)


def test_weights_files_and_whole_models_say_so_too_and_every_plugin_is_named(install):
    for module in ("needs_more", "two_lines"):
        install(module, FAULTS[module][0])
    expected = told("needs_more", *FAULTS["needs_more"][1:]), told("two_lines", *FAULTS["two_lines"][1:])
    with pytest.raises(UserError) as raised:
        check_parts(dict(type="DiffusionEnhancement", fusion=dict(type="Xyz")), "model.safetensors")
    words = str(raised.value)
    assert words.startswith(
        "model.safetensors asks for 'Xyz', which is not a registered part: install its plugin here; "
    )
    assert all(one in words for one in expected)
    with pytest.raises(UserError) as raised:
        build_model(dict(type="Xyz"))
    assert all(one in str(raised.value) for one in expected)


def test_a_part_that_a_working_plugin_brings_is_found_without_further_ado(install):
    install(
        "brings_one",
        "from declouds.registry import FUSIONS\n@FUSIONS.register_module()\nclass BroughtByPlugin:\n    'One.'\n",
    )
    try:
        assert FUSIONS.find("BroughtByPlugin").__module__ == "brings_one"
        assert failed_plugins() == ""
    finally:
        FUSIONS.module_dict.pop("BroughtByPlugin", None)


CLASH = "from declouds.registry import {0}\n@{0}.register_module()\nclass {1}:\n    'Mine.'\n"


def test_a_name_that_is_taken_is_refused_with_both_modules(install, caplog):
    install("takes_a_name", CLASH.format("FUSIONS", "FixedWeight"))
    with caplog.at_level(logging.WARNING, "declouds"):
        assert isinstance(load_plugins()["takes_a_name"], UserError)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin takes_a_name (takes_a_name, package takes-a-name 1.2) is skipped: fusion FixedWeight of takes_a_name: "
        "the name is already registered by declouds.fusions.fixed_weight: rename the class"
    ]
    assert FUSIONS.find("FixedWeight").__module__ == "declouds.fusions.fixed_weight"


def test_a_plugin_that_comes_first_cannot_take_a_name_either(tmp_path):
    (tmp_path / "first.py").write_text(CLASH.format("SAMPLERS", "DDIM"))
    code = (
        "from declouds.registry import SAMPLERS\ntry:\n    import first\nexcept Exception as error:\n    print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}print(SAMPLERS.find('DDIM').__module__)"],
        env=dict(PYTHONPATH=f"{ROOT}:{tmp_path}"),
        capture_output=True,
        text=True,
    )
    assert answer.stdout.splitlines() == [
        "sampler DDIM of first: the name is already registered by declouds.samplers.ddim: rename the class",
        "declouds.samplers.ddim",
    ], answer.stderr
