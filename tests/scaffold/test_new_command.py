"""`declouds new` writes a package whole or not at all, under a name that hides nothing."""

import errno
import tomllib
from pathlib import Path

import pytest

from declouds.cli import main
from declouds.errors import UserError
from declouds.registry import PLUGIN_GROUP, REGISTRIES
from declouds.scaffold.kinds import KINDS
from declouds.scaffold.plugin import write_plugin


def refused(kind, name, out):
    with pytest.raises(UserError) as raised:
        write_plugin(kind, name, out)
    return str(raised.value)


def test_every_kind_of_part_that_a_config_can_name_can_be_written():
    assert list(KINDS) == [registry.name for registry in REGISTRIES]


def test_the_package_is_written_and_what_to_do_with_it_is_said(tmp_path, capsys):
    main(["new", "fusion", "my_fusion", "--out", str(tmp_path)])
    folder = tmp_path / "my_fusion"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".gitignore",
        "README.md",
        "configs/my_fusion.py",
        "pyproject.toml",
        "src/my_fusion/__init__.py",
        "src/my_fusion/my_fusion.py",
        "tests/test_my_fusion.py",
    }
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}: MyFusion, a fusion, with its test and an example of use",
        f"  cd {folder}",
        '  pip install -e ".[dev]"',
        "  pytest",
        "  declouds train configs/my_fusion.py",
    ]
    readme = (folder / "README.md").read_text()
    assert "no licence yet" in readme
    assert '```bash\npip install -e ".[dev]"\npytest\ndeclouds train configs/my_fusion.py\n```' in readme
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "my-fusion"
    assert project["entry-points"] == {PLUGIN_GROUP: {"my_fusion": "my_fusion"}}
    assert "license" not in project


@pytest.mark.parametrize(
    ("kind", "name", "fault"),
    [
        ("fusion", "MyFusion", "'MyFusion' cannot be the name of a package: .* for example my_fusion"),
        ("fusion", "my-fusion", "'my-fusion' cannot be the name of a package: .* for example my_fusion"),
        ("fusion", "../escape", "cannot be the name of a package: .* for example escape"),
        ("fusion", "3d", "cannot be the name of a package: .* for example my_part"),
        ("fusion", "", "cannot be the name of a package"),
        ("fusion", "my__fusion_", "cannot be the name of a package"),
        ("fusion", "a" * 33, "has 33 letters: take a name of 32 or fewer"),
        ("fusion", "lambda", "lambda is a word of the Python language: choose another name, for example my_lambda"),
        ("fusion", "match", "match is a word of the Python language"),
        ("fusion", "json", "json is a module of Python itself"),
        ("fusion", "declouds", "declouds is a name of declouds itself"),
        ("fusion", "fusions", "fusions is a name of declouds itself"),
        ("loss", "fusion", "fusion is a name of declouds itself"),
        ("fusion", "tests", "what tests, or other files of the package, are called"),
        ("fusion", "test_mine", "what tests, or other files of the package, are called"),
        ("fusion", "torch", r"torch is a module that is there already \(.*torch"),
        ("fusion", "fixed_weight", "a fusion called FixedWeight is there already .declouds.fusions.fixed_weight."),
        ("sampler", "ddim", "gives a class Ddim, and a sampler called DDIM is there already"),
        ("sampler", "stepwise_sampler", "gives a class StepwiseSampler, a name that its own file uses otherwise"),
        ("loss", "exception", "gives a class Exception, a name that its own file uses otherwise"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_the_cure(tmp_path, kind, name, fault):
    with pytest.raises(UserError, match=fault) as raised:
        write_plugin(kind, name, tmp_path)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_kind_may_have_the_name(tmp_path):
    assert write_plugin("loss", "fixed_weight", tmp_path).is_dir()


def test_an_unknown_kind_is_answered_with_those_there_are(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["new", "fuson", "mine", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "invalid choice: 'fuson'" in (told := capsys.readouterr().err)
    assert all(kind in told for kind in KINDS)


def test_what_exists_stays_as_it_is(tmp_path):
    (tmp_path / "mine").write_text("a file of the user")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("mine", "link"):
        assert refused("fusion", name, tmp_path) == (
            f"{tmp_path / name} exists already: choose another name, or --out another folder"
        )
    assert (tmp_path / "mine").read_text() == "a file of the user"
    assert refused("fusion", "mine", tmp_path / "absent").endswith("absent does not exist: create it first")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_disk_that_fills_up_or_an_interruption_leaves_nothing(tmp_path, monkeypatch, stop):
    written = []

    def write_text(path, text, **options):
        written.append(path)
        if len(written) == 4:
            raise stop
        path.write_bytes(text.encode())

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises((UserError, KeyboardInterrupt)) as raised:
        write_plugin("fusion", "mine", tmp_path)
    assert len(written) == 4
    assert list(tmp_path.iterdir()) == []
    if isinstance(stop, OSError):
        assert str(raised.value) == (
            f"{tmp_path / 'mine'} cannot be written: No space left on device: fix it, or give --out another folder"
        )
