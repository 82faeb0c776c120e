"""The story of one run, to be read."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from declouds.runs.listing import Listed


def print_page(run: Listed, console: Console) -> None:
    """Print all that the files of a run, a cell or a folder of scores record, except the config itself."""
    values = run.values()
    console.print(Text(f"{run.path}: {run.status}", style="bold"))
    for problem in run.problems:
        console.print(Text(problem, style="yellow"))
    _print_pairs(console, _what(run, values))
    if run.record:
        console.print(_stages(run))
        for number, session in enumerate(run.record["sessions"], 1):
            console.print(Text(f"session {number} of {len(run.record['sessions'])}", style="bold"))
            _print_pairs(console, _session(session))
    if run.scores:
        _print_pairs(console, _scores(run))
        console.print(_means(run))


def shown(key: str, value: Any) -> str:
    """Return a value as a person reads it."""
    last = key.rpartition(".")[2]
    if value is None:
        return "-"
    if last == "seconds":
        return duration(value)
    if last == "peak_memory":
        return f"{value / 2**30:.2f} GiB"
    if last == "joules":
        return f"{value:,.0f} J"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 1 else f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """Return ``3.7 s``, ``2 min 05 s`` or ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _what(run: Listed, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    record = run.record
    if run.cell:
        yield "cell", ", ".join(f"{axis} {value}" for axis, value in run.cell["values"].items())
        yield "why", run.cell.get("why")
    yield "error", record.get("error")
    yield "config", values.get("config_file") or values.get("config")
    yield "model", values.get("model")
    if not record:
        return
    yield "seed", record["seed"]
    for part, data in record["data"].items():
        yield (
            f"data, {part}",
            f"{data.get('count')} pairs of {data.get('split')}, digest of their names {data.get('digest')}",
        )
    for part, given in record["given"].items():
        yield f"given {part}", f"{given.get('file')}, SHA-256 {given.get('sha256')}"
    if record["weights"]:
        yield "weights", f"{run.run_folder / record['weights']['file']}, SHA-256 {record['weights']['sha256']}"
    yield "from", f"{record['started']} to {record['ended'] or record['updated']}"
    yield "wall time", shown("seconds", record["seconds"])
    yield "peak memory", shown("peak_memory", record["peak_memory"])
    yield "energy", _energy(record["energy"])


def _session(session: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "status", f"{session['status']}: {session['error']}" if session["error"] else session["status"]
    yield "from", f"{session['started']} to {session['ended'] or 'now'}, {shown('seconds', session['seconds'])}"
    yield from _machine(session)


def _machine(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what ran and on what; files of other programs may lack any of it."""
    yield "command", facts.get("command")
    yield "in folder", facts.get("folder")
    code = facts.get("code") or {}
    changed = {True: ", with changes that are in no commit", False: "", None: ""}[code.get("changed")]
    commit = f", commit {code['commit']}{changed}" if code.get("commit") else ""
    yield "code", f"declouds {code.get('declouds')}{commit}" if code else None
    yield "packages", ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    yield "python", facts.get("python")
    yield "system", f"{facts.get('system')}, host {facts.get('host')}" if facts.get("system") else None
    yield "devices", ", ".join(facts.get("devices", []))
    yield (
        "CPU",
        f"{facts['cpu']}; CPUs: {facts.get('cpus')}, threads: {facts.get('threads')}" if facts.get("cpu") else None,
    )
    if facts.get("processes", 1) > 1:
        yield "processes", f"{facts['processes']}, started by {facts['launcher']}"
    if facts.get("peak_memory"):
        yield "peak memory", f"{shown('peak_memory', facts['peak_memory'])} of the {facts.get('peak_memory_of')}"
    yield "energy", _energy(facts.get("energy"))


def _energy(energy: Mapping[str, Any] | None) -> str | None:
    if not energy:
        return None
    if energy.get("joules") is None:
        return f"not known: {energy.get('reason')}"
    of = f" ({', '.join(energy['of'])})" if energy.get("of") else ""
    return f"{shown('joules', energy['joules'])}{of}"


def _stages(run: Listed) -> Table:
    table = Table("stage", "status")
    for column in ("iterations", "images", "seconds", "images/s"):
        table.add_column(column, justify="right")
    table.add_column("trained in", overflow="fold")
    for stage in run.record["stages"]:
        stopped = stage["status"] == "training" and run.status != "running"
        rate = (
            f"{stage['samples'] / stage['seconds']:.1f}" if stage["status"] == "finished" and stage["seconds"] else "-"
        )
        table.add_row(
            Text(stage["name"]), "stopped" if stopped else stage["status"], f"{stage['iterations']:,}",
            f"{stage['samples']:,}", f"{stage['seconds']:,.1f}", rate, Text(stage["trained_in"] or "-"),
        )  # fmt: skip
    return table


def _scores(run: Listed) -> Iterator[tuple[str, Any]]:
    about, split = run.scores["about"], run.scores["split"]
    yield "scores", f"{split.get('count', '?')} images, {split.get('split', '')} {split.get('part', '')}"
    yield "their digest", split.get("digest")
    yield "weights", (about.get("weights") or {}).get("sha256")
    yield "wall time", shown("seconds", about.get("seconds"))
    if run.kind == "scores":
        yield from _machine(about)


def _means(run: Listed) -> Table:
    methods = run.scores["methods"]
    table = Table("mean of")
    for method in methods:
        table.add_column(Text(method), justify="right")
    for key in dict.fromkeys(key for method in methods.values() for key in method["summary"]):
        means = [method["summary"].get(key, {}).get("mean") for method in methods.values()]
        table.add_row(Text(key), *(shown(key, mean) for mean in means))
    return table


def _print_pairs(console: Console, pairs: Iterator[tuple[str, Any]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, ""):
            table.add_row(Text(name), Text(str(value)))
    console.print(table)
