"""`declouds cell`, which a sweep starts for each of its cells."""

import pytest
from filelock import FileLock

from declouds.cli import main
from declouds.evaluation import lpips_net
from declouds.experiments.sweep_file import read_sweep


def test_a_folder_that_is_no_cell_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["cell", str(tmp_path)])
    assert f"{tmp_path} is not a cell of a sweep: it has no config.py" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_cell_that_another_process_runs_is_left_alone(sweep_file, tmp_path, capsys):
    cell = read_sweep(sweep_file()).cells(tmp_path)[0]
    cell.prepare()
    with FileLock(cell.folder / ".lock"), pytest.raises(SystemExit, match="75"):
        main(["cell", str(cell.folder)])
    assert "is in use by another process: wait for it, or stop it" in capsys.readouterr().err
    assert not (cell.folder / "run").exists()


def test_a_cell_without_fusion_is_measured_without_variants(sweep_file, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips_net, "URL", "http://127.0.0.1:9/alexnet.pth")
    text = 'base = "tiny.py"\naxes = dict(fusion=[None])\n'
    cell = read_sweep(sweep_file(text)).cells(tmp_path)[0]
    cell.prepare()
    main(["cell", str(cell.folder), "--variant", "prior", "--stages", str(tmp_path / "stages"), "--device", "cpu"])
    assert '"result"' in cell.results.read_text()
    assert '"prior"' not in cell.results.read_text()
    before = cell.results.stat().st_mtime_ns
    main(["cell", str(cell.folder), "--stages", str(tmp_path / "stages"), "--device", "cpu"])  # goes on where it was
    assert cell.results.stat().st_mtime_ns > before
