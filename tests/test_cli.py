"""The `declouds` command: it answers at once, and what the user can mend is one line and exit code 2."""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import declouds
from declouds import cli
from declouds.commands import models
from declouds.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "mmengine", "torchgeo", "rasterio", "numpy", "scipy", "rich", "kornia")


def command(*arguments, code="import sys; from declouds.cli import main; main(sys.argv[1:])", cwd=None):
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_help_takes_well_under_a_second():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = command("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.returncode == 0
    assert all(name in answer.stdout for name in cli.COMMANDS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6


def test_help_imports_no_heavy_library():
    code = f"""
import sys
from declouds.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
print("loaded:", [name for name in {HEAVY} if name in sys.modules])
"""
    answer = command(code=code)
    assert answer.stdout.splitlines()[-1] == "loaded: []", answer.stderr


def all_commands(parser, path=()):
    yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from all_commands(sub, (*path, name))


PATHS = list(all_commands(cli.build_parser()))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(("declouds", *path)))
def test_every_command_explains_itself(path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*path, "--help"])
    assert stopped.value.code == 0
    answer = capsys.readouterr().out
    assert answer.startswith(f"usage: {' '.join(('declouds', *path))}")
    assert len(answer.splitlines()) > 4


def test_every_module_of_commands_is_a_command():
    files = {path.stem for path in (ROOT / "declouds" / "commands").glob("*.py")} - {"__init__"}
    assert files == set(cli.COMMANDS) == {path[0] for path in PATHS if path}


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"declouds {declouds.__version__}\n"


def test_a_user_error_is_one_line_and_exit_code_2():
    answer = command("predict", "absent.tif", "-o", "out.tif", "--checkpoint", "absent.safetensors")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("declouds: absent.tif")
    assert answer.stderr.count("\n") == 1


def ends_with(error, monkeypatch):
    def run(args):
        raise error

    monkeypatch.setattr(models, "run", run)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["models"])
    return stopped.value.code


def test_a_user_error_in_a_command_is_printed_as_it_is(monkeypatch, capsys):
    assert ends_with(UserError("x.tif is no image: give another"), monkeypatch) == 2
    assert capsys.readouterr().err == "declouds: x.tif is no image: give another\n"


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    assert ends_with(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "declouds: interrupted\n"


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        ends_with(ZeroDivisionError(), monkeypatch)


@pytest.mark.parametrize("arguments", [[], ["sharpen"], ["train"], ["models", "--colour", "red"]])
def test_wrong_usage_is_exit_code_2_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: declouds")


@pytest.mark.parametrize(
    ("tool", "usage"),
    [
        ("train", "declouds train"),
        ("test", "declouds test"),
        ("predict", "declouds predict"),
        ("import_weights", "declouds weights import"),
    ],
)
def test_a_tool_is_the_command_of_its_name(tool, usage):
    answer = subprocess.run(
        [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--help"],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(f"usage: {usage} ")


def test_python_m_declouds_is_the_command():
    answer = subprocess.run(
        [sys.executable, "-m", "declouds", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert answer.stdout == f"declouds {declouds.__version__}\n"


def test_negative_numbers_in_scientific_notation_are_values():
    """As people paste them; argparse takes them for flags."""
    arguments = ["--nodata", "-3.4028234663852886e+38", "--offset", "-1e-1", "-o", "out.tif", "--scale=-.5"]
    args = cli.build_parser().parse_args(["predict", "in.tif", "--checkpoint", "m", *arguments])
    assert (args.nodata, args.offset, args.scale) == (-3.4028234663852886e38, -0.1, -0.5)
    for low, high in (("-1", "1"), ("-2.5e1", "-1e-1")):
        args = cli.build_parser().parse_args(["evaluate", "a", "b", "--value-range", low, high])
        assert args.value_range == [float(low), float(high)]
