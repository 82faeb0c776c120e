"""Files appear whole or not at all."""

import pytest

from declouds.atomic_file import replacing


def test_the_file_appears_at_the_end_and_nothing_else_stays(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".csv")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path, failure):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_meet_and_what_a_killed_one_left_is_replaced(tmp_path):
    path = tmp_path / "iter_1.pth"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.touch()
        second.touch()
    left = path.with_name(".iter_1.partial.pth")
    left.write_text("of a killed process")
    with replacing(path, only_writer=True) as temporary:
        assert temporary == left
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
