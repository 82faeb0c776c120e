import io
import re

import pytest
from rich.console import Console

from declouds.experiments.engines.cell_process import HEADER, last_lines
from declouds.experiments.live_table import LiveTable, in_words


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / f"fusion=[bold]{i}" for i in range(9)]
    for folder in made:
        folder.mkdir()
    return made


def screen(table, width=100, height=30):
    """What a terminal shows, as lines without trailing blanks."""
    table.console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    table.console.print(table.picture())
    return [line.rstrip() for line in table.console.file.getvalue().splitlines()]


def test_a_line_for_every_cell_and_what_it_is_doing(folders):
    clock = Clock()
    table = LiveTable(folders[:5], skipped=folders[:1], jobs=2, clock=clock)
    for folder in folders[1:4]:
        table.started(folder)
    (folders[1] / "log.txt").write_text("stage 1: 10/400\n\x1b[31mstage 1:\x1b[0m 20/400 · [red]loss 0.5[/red]\n\n")
    clock.now += 70
    table.ended(folders[2], 0, "")
    table.ended(folders[3], 2, "no [file] here")

    assert [re.split(r"  +", line) for line in screen(table)] == [
        ["fusion=[bold]0", "skipped"],
        ["fusion=[bold]1", "running", "1 min 10 s", "stage 1: 20/400 · [red]loss 0.5[/red]"],
        ["fusion=[bold]2", "finished", "1 min 10 s"],
        ["fusion=[bold]3", "failed", "1 min 10 s", "no [file] here"],
        ["fusion=[bold]4", "waiting"],
        ["5 cells: 1 finished, 1 failed, 1 running, 1 waiting, 1 skipped, about 1 min 10 s left"],
    ]


def test_more_cells_than_lines(folders):
    table = LiveTable(folders, skipped=folders[:3], clock=Clock())
    for folder in folders[6:]:
        table.started(folder)
    table.ended(folders[7], 1, "broken")

    lines = screen(table, width=60, height=6)
    assert [line.split()[:2] for line in lines[:3]] == [
        ["fusion=[bold]6", "running"],
        ["fusion=[bold]7", "failed"],
        ["fusion=[bold]8", "running"],
    ]
    assert len(lines) == 4 and lines[3].startswith("9 cells: 1 failed, 2 running, 3 waiting, 3 skipped")
    assert "(6 not shown)" in screen(table, width=100, height=6)[3]


def test_long_lines_take_one_line(folders):
    table = LiveTable(folders[:1], clock=Clock())
    table.started(folders[0])
    (folders[0] / "log.txt").write_text("x" * 10_000)
    lines = screen(table, width=60)
    assert len(lines) == 2 and lines[0].endswith("x…") and len(lines[0]) <= 60


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (1, 30 + 4 * 40),  # the rest of the one that runs, then four more
        (2, (30 + 4 * 40) / 2),
        (9, 40),  # side by side, but no sooner than one takes
    ],
)
def test_time_left(folders, jobs, expected):
    clock = Clock()
    table = LiveTable(folders[:8], skipped=folders[:1], jobs=jobs, clock=clock)
    table.started(folders[1])
    assert table.seconds_left() is None
    clock.now += 40
    table.ended(folders[1], 0, "")
    table.started(folders[2])
    clock.now += 2
    table.ended(folders[2], 1, "a failure tells nothing about how long the others take")
    table.started(folders[3])
    clock.now += 10
    assert table.seconds_left() == pytest.approx(expected)


def test_without_a_terminal_there_are_plain_lines(folders):
    clock, out = Clock(), io.StringIO()
    with LiveTable(folders[:3], console=Console(file=out, width=40), clock=clock) as table:
        table.started(folders[0])
        for _ in range(100):  # seconds
            clock.now += 1
            table.tick()
        table.ended(folders[0], 0, "")
        table.started(folders[1])
        table.ended(folders[1], 2, "why " * 20 + "[end]")
        table.started(folders[2])

    assert out.getvalue().splitlines() == [
        "fusion=[bold]0: started",
        "3 cells: 1 running, 2 waiting",
        "fusion=[bold]0: finished after 1 min 40 s",
        "fusion=[bold]1: started",
        "fusion=[bold]1: failed after 0 s: " + "why " * 20 + "[end]",
        "fusion=[bold]2: started",
        "3 cells: 1 finished, 1 failed, 1 stopped",
    ]


def test_in_a_terminal_it_draws_again_when_due(folders):
    clock = Clock()
    console = Console(file=io.StringIO(), width=80, height=20, force_terminal=True, color_system=None)
    with LiveTable(folders[:2], console=console, clock=clock) as table:
        table.started(folders[0])
        clock.now += 0.1
        table.tick()
        assert "running" not in console.file.getvalue()
        clock.now += 1
        table.tick()
        assert "running" in console.file.getvalue()
    assert "started" not in console.file.getvalue() and "stopped" in console.file.getvalue()


def test_last_lines_are_those_of_the_present_attempt(tmp_path):
    log = tmp_path / "log.txt"
    assert last_lines(log) == []
    log.write_bytes(b"old\n" + HEADER.encode() + b"again\na\r 50%\r100%\x07\n\xff\n")
    assert last_lines(log) == ["a", "50%", "100%", "\ufffd"]
    with open(log, "a") as file:
        file.write(f"{HEADER}a third time\n")
    assert last_lines(log) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (12060, "3 h 21 min")],
)
def test_durations(seconds, words):
    assert in_words(seconds) == words
