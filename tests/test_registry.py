"""Names of parts, and plugins that add to them."""

import importlib.metadata
import logging
import sys
import types

import pytest

from declouds.cli import main
from declouds.errors import UserError
from declouds.registry import (
    DENOISERS,
    FUSIONS,
    LOSSES,
    PART_REGISTRIES,
    PLUGIN_GROUP,
    SAMPLERS,
    describe,
    load_plugins,
)
from declouds.training.config import load_config


def test_an_unknown_name_is_answered_with_the_nearest_first():
    with pytest.raises(UserError) as raised:
        FUSIONS.build(dict(type="WeightAlocation"))
    assert str(raised.value) == (
        "unknown fusion 'WeightAlocation': did you mean 'WeightAllocation'? known: "
        "WeightAllocation, DisagreementWeight, FixedWeight, SigmoidWeight, TimeWeight, TimmUNet"
    )


def test_a_name_unlike_any_gets_the_whole_list():
    with pytest.raises(UserError) as raised:
        SAMPLERS.build(dict(type="xyz"))
    assert str(raised.value) == (
        f"unknown sampler 'xyz': known: {', '.join(SAMPLERS.names())}, "
        "and the parts of plugins once these are installed"
    )


@pytest.mark.parametrize("config", [None, "DDIM", {}, dict(steps=3), [dict(type="DDIM")]])
def test_a_config_without_a_type_is_refused(config):
    with pytest.raises(UserError, match=r"a sampler must be dict\(type=\.\.\., \.\.\.\) with type one of DDIM"):
        SAMPLERS.build(config)


def test_a_wrong_argument_is_named_with_its_part():
    with pytest.raises(UserError, match=r"sampler DDIM cannot be built: .*'stepps'"):
        SAMPLERS.build(dict(type="DDIM", stepps=3))


def test_defaults_go_to_parts_that_take_them_and_yield_to_the_config():
    small = dict(base=8, multipliers=(1,), blocks=1)
    assert DENOISERS.build(dict(type="ConditionalUNet", **small), bands=4).unet.out[-1].out_channels == 4
    assert DENOISERS.build(dict(type="ConditionalUNet", bands=2, **small), bands=4).unet.out[-1].out_channels == 2
    assert SAMPLERS.build(dict(type="DDIM"), bands=4).steps == 10


def test_building_does_not_change_the_config():
    config = dict(type="DDIM", steps=3)
    SAMPLERS.build(config)
    assert config == dict(type="DDIM", steps=3)


def test_building_logs_nothing(caplog):
    with caplog.at_level(logging.DEBUG):
        SAMPLERS.build(dict(type="DDIM"))
    assert caplog.records == []


@pytest.fixture(autouse=True)
def forget_plugins():
    """Plugins are loaded once a process: here, once a test."""
    load_plugins.cache_clear()
    yield
    load_plugins.cache_clear()


@pytest.fixture
def install(monkeypatch):
    """Install plugins: name -> the function that is their module's `register`, or None where the module is missing."""

    def fake(**plugins):
        entry_points = []
        for name, register in plugins.items():
            if register is not None:
                module = types.ModuleType(f"fake_{name}")
                module.register = register
                monkeypatch.setitem(sys.modules, module.__name__, module)
            entry_points.append(importlib.metadata.EntryPoint(name, f"fake_{name}:register", PLUGIN_GROUP))

        def installed(group):
            return importlib.metadata.EntryPoints(entry_points).select(group=group)

        monkeypatch.setattr(importlib.metadata, "entry_points", installed)

    yield fake
    for registry in PART_REGISTRIES:
        for name in [name for name in registry.module_dict if name.startswith("Plugin")]:
            del registry.module_dict[name]


def add_plugin_loss():
    class PluginLoss:
        """A loss of a plugin."""

    LOSSES.register_module(module=PluginLoss)


def fail():
    raise ValueError("no such accelerator")


def test_a_broken_plugin_is_reported_and_does_not_stop_the_others(install, caplog):
    install(early=fail, missing=None, good=add_plugin_loss)
    with caplog.at_level(logging.WARNING, "declouds"):
        outcome = load_plugins()
    assert list(outcome) == ["early", "missing", "good"]
    assert isinstance(outcome["early"], ValueError)
    assert isinstance(outcome["missing"], ModuleNotFoundError)
    assert outcome["good"] is None
    assert "PluginLoss" in LOSSES.names()
    assert [record.getMessage() for record in caplog.records] == [
        "plugin early (fake_early:register) is skipped: ValueError: no such accelerator",
        "plugin missing (fake_missing:register) is skipped: ModuleNotFoundError: No module named 'fake_missing'",
    ]


def test_plugins_are_loaded_once(install):
    calls = []
    install(counted=lambda: calls.append(1))
    load_plugins()
    load_plugins()
    assert calls == [1]


def test_a_plugin_may_be_a_module_that_registers_on_import(monkeypatch, tmp_path):
    (tmp_path / "plugin_by_import.py").write_text(
        "from declouds.registry import LOSSES\n@LOSSES.register_module()\nclass PluginByImport:\n    'By import.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = importlib.metadata.EntryPoints([importlib.metadata.EntryPoint("p", "plugin_by_import", PLUGIN_GROUP)])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found.select(group=group))
    try:
        assert load_plugins() == {"p": None}
        assert LOSSES.find("PluginByImport").__doc__ == "By import."
    finally:
        LOSSES.module_dict.pop("PluginByImport", None)
        sys.modules.pop("plugin_by_import", None)


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return a function that gives the lines that `declouds models` prints for the arguments."""
    monkeypatch.setenv("COLUMNS", "240")

    def run(*arguments):
        main(["models", *arguments])
        return capsys.readouterr().out.splitlines()

    return run


def test_declouds_models_lists_every_part_with_its_description(shown):
    lines = shown()
    for registry in PART_REGISTRIES:
        assert registry.name in [line.strip() for line in lines]
        for name, description in ((name, describe(part)) for name, part in registry.parts().items()):
            assert len(description) > 10, name
            assert any(line.split() == [name, *description.split()] for line in lines), name


def test_declouds_models_lists_whole_models_too(shown):
    lines = [line.split() for line in shown("model")]
    assert [line[0] for line in lines[1:] if line] == ["Adversarial", "DiffusionEnhancement", "OnePass"]


def test_declouds_models_shows_one_kind_and_the_parts_of_plugins(shown, install):
    install(good=add_plugin_loss)
    lines = [line.split() for line in shown("loss")]
    assert ["PluginLoss", "A", "loss", "of", "a", "plugin."] in lines
    assert not any("DDIM" in line for line in lines)


def test_a_custom_import_that_fails_shows_the_real_cause(monkeypatch, tmp_path):
    (tmp_path / "needs_more.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = tmp_path / "config.py"
    parts = "model = dict()\ndatamodule = dict()\nstages = []\n"
    config.write_text(f"{parts}custom_imports = dict(imports=['needs_more'])\n")
    with pytest.raises(UserError) as raised:
        load_config(config)
    assert str(raised.value) == (
        "custom_imports: needs_more cannot be imported: "
        "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"
    )
    config.write_text(f"{parts}custom_imports = dict(imports=['needs_more'], allow_failed_imports=True)\n")
    assert load_config(config).stages == []
