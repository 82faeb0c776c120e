import csv

import numpy as np
import pytest

from declouds.cli import main
from declouds.evaluation.tables import Evaluation, write_evaluation


@pytest.fixture(autouse=True)
def only_compare(monkeypatch):
    monkeypatch.setattr("declouds.cli.COMMANDS", ("compare",))  # the others are tested elsewhere


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Runs a, b, c of 12 images, b better than a by 0.5 dB, c by 1, their priors 2 dB worse."""
    monkeypatch.chdir(tmp_path)
    base = np.random.default_rng(0).normal(25, 2, 12)
    for number, name in enumerate("abc"):
        values = base + 0.5 * number + np.linspace(-0.1, 0.1, 12) * number
        methods = {
            method: [
                {"name": str(index), "official.psnr": value - worse, "image.cover": index / 12}
                for index, value in enumerate(values)
            ]
            for method, worse in (("prior", 2), ("DE", 0))
        }
        write_evaluation(Evaluation({"official": "8-bit"}, methods), tmp_path / name / "scores")
    return tmp_path


def compare(*arguments):
    main(["compare", *map(str, arguments)])


def written(folder):
    with (folder / "compare.csv").open() as file:
        return {line["run"]: line for line in csv.DictReader(file) if line["bin"] == "all images"}


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        compare(*arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_runs_are_compared_printed_and_written(runs, capsys):
    compare("a", runs / "b" / "scores", "c/scores/results.json", "--out", "out")
    output = capsys.readouterr().out
    assert "Differences to a, 12 images" in output and "cover 60-100% (4)" in output and "written to out" in output
    lines = written(runs / "out")
    assert list(lines) == ["a", "b", "c"]
    assert float(lines["b"]["difference"]) == pytest.approx(0.5) and float(lines["c"]["difference"]) == pytest.approx(1)
    assert float(lines["b"]["p"]) == pytest.approx(2 / 2**12)
    assert float(lines["b"]["p_holm"]) == pytest.approx(4 / 2**12)
    assert sorted(path.name for path in (runs / "out").iterdir()) == ["compare.csv", "compare.md", "compare.tex"]


def test_methods_names_and_baseline(runs):
    compare("a:prior", "a:DE", "--out", "methods")
    assert float(written(runs / "methods")["a:DE"]["difference"]) == pytest.approx(2)
    arguments = ("--names", "old", "new", "--baseline", "new", "--metrics", "official.psnr")
    compare("a", "b:DE", "--method", "prior", *arguments, "--out", "named")
    assert float(written(runs / "named")["old"]["difference"]) == pytest.approx(-2.5)


def test_runs_of_one_name_are_seeds(runs):
    compare("a", "b", "c", "--names", "old", "new", "new", "--out", "out")
    lines = written(runs / "out")
    assert (lines["new"]["seeds"], float(lines["new"]["difference"])) == ("2", pytest.approx(0.75))
    assert float(lines["new"]["sd_over_seeds"]) == pytest.approx(0.5 / 2**0.5)


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(runs, capsys):
    out = ("--out", "out")
    assert "only one run to compare" in refused(capsys, "a", *out)
    assert "1 names for 2 runs" in refused(capsys, "a", "b", "--names", "x", *out)
    assert "two runs are called a" in refused(capsys, "a", "a/scores", *out)
    assert "has no method x: choose from prior, DE" in refused(capsys, "a:x", "b", *out)
    assert "absent: no such file or folder" in refused(capsys, "a", "absent:DE", *out)
    assert "no run is called z" in refused(capsys, "a", "b", "--baseline", "z", *out)
    assert "official.ssim was not measured" in refused(capsys, "a", "b", "--metrics", "official.ssim", *out)
    other = [{"name": "other", "official.psnr": 1.0}]
    write_evaluation(Evaluation({"official": "8-bit"}, {"DE": other}, {"part": "val"}), runs / "d")
    line = refused(capsys, "a", "d", *out)
    assert "d (val, 1 images)" in line and "different images" in line
    assert "(only a has 0, 1, 10, ... (12 in all); only d has other)" in line
    assert not (runs / "out").exists()
    (runs / "out").mkdir()
    (runs / "out" / "compare.tex").write_text("mine")
    assert "--overwrite" in refused(capsys, "a", "b", *out)
    assert [path.name for path in (runs / "out").iterdir()] == ["compare.tex"]
    compare("a", "b", *out, "--overwrite")
    assert "booktabs" in (runs / "out" / "compare.tex").read_text()
