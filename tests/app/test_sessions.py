import pytest

from declouds.app.sessions import Sessions


def test_a_page_keeps_the_files_of_its_last_good_job_alone(tmp_path):
    sessions = Sessions(tmp_path)
    with sessions.job("page") as (first, _):
        (first / "result").touch()
    with pytest.raises(KeyError), sessions.job("page") as (failed, _):
        assert first.exists()
        raise KeyError
    assert first.exists() and not failed.exists()
    with sessions.job("page") as (second, _):
        pass
    assert [*tmp_path.iterdir()] == [second]


def test_closing_a_page_stops_its_job_and_the_last_one_leaves_nothing(tmp_path):
    sessions = Sessions(tmp_path)
    sessions.open("other")
    with sessions.job("page") as (folder, stop):
        (tmp_path / "upload").mkdir()
        sessions.stop("other")
        assert not stop.is_set()
        sessions.close("page")
        assert stop.is_set() and folder.exists()  # until the job has stopped
    assert [*tmp_path.iterdir()] == [tmp_path / "upload"]
    sessions.close("other")
    assert not any(tmp_path.iterdir())


def test_the_last_page_is_closed_while_its_job_runs(tmp_path):
    sessions = Sessions(tmp_path)
    with pytest.raises(KeyError), sessions.job("page") as (folder, _):
        (tmp_path / "upload").mkdir()
        sessions.close("page")
        assert folder.exists()
        raise KeyError
    assert not any(tmp_path.iterdir())
