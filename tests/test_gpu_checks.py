"""The script for a GPU, tried on the CPU with a small model."""

import json
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
TRY = ("--device", "cpu", "--tiny", "--sections")


@pytest.fixture
def gpu_checks(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import gpu_checks

    yield gpu_checks
    del sys.modules["gpu_checks"]


def rows_of(folder):
    return json.loads((folder / "checks.json").read_text())["rows"]


def test_every_section_but_the_tests_runs_on_the_cpu(gpu_checks, tmp_path, capfd):
    assert gpu_checks.main(["--out", str(tmp_path), *TRY, "speed=600", "parity=600", "data=600", "scenes=600"]) == 0
    rows = rows_of(tmp_path)
    assert [row["ended"] for row in rows if row["what"] == "section"] == ["done"] * 4
    exact = {row["what"]: row["relative"] for row in rows if row["what"].endswith(", fp32") and "relative" in row}
    assert set(exact) == {f"{part}, fp32" for part in ("reference", "denoiser", "fusion", "sample", "gradient")}
    assert all(value < 1e-5 for value in exact.values())
    assert any(row["what"].startswith("scene 96, small") and row["mpx_a_s"] > 0 for row in rows)
    assert all(row["images_a_s"] > 0 for row in rows if row["what"].startswith(("train", "sample 32", "loader")))
    assert capfd.readouterr().out.count("loader, 1 workers") == 2  # as it comes, and in the table


def test_what_fails_leaves_the_other_sections_alone(gpu_checks, tmp_path, monkeypatch):
    def fails(checks):
        raise RuntimeError("no kernel image")

    sections = dict(parity=fails, speed=lambda checks: time.sleep(60), data=lambda checks: checks.row("loader"))
    monkeypatch.setattr(gpu_checks, "RUN", sections)
    assert gpu_checks.main(["--out", str(tmp_path), *TRY, "parity=60", "speed=0.05", "data=60"]) == 1
    ended = [row["ended"] for row in rows_of(tmp_path) if "ended" in row]
    assert ended == ["failed: RuntimeError: no kernel image", "out of time", "done"]
    assert "no kernel image" in (tmp_path / "parity_error.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sections", "parity"], "--sections parity: give NAME=SECONDS with a name of parity, speed"),
        (["--sections", "walk=3"], "--sections walk=3: give NAME=SECONDS"),
        ([], "there is no CUDA device here: try the script with --device cpu --tiny"),
    ],
)
def test_wrong_arguments_are_refused(gpu_checks, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        gpu_checks.main(["--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
