"""Time a training step, a sample and a scene, with peak memory: `python tools/benchmark.py CONFIG [OTHER_CONFIG] ...`.

Weights are random and images are made here, so neither data nor checkpoints are needed. Each measurement of each config
runs in a fresh process, so that its peak memory is its own; two configs take turns (A B A B ...), so that what else the
machine does strikes both alike.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark_jobs import OVERLAP, TILE, Job, serve

from declouds.atomic_file import replacing
from declouds.cli import limit_spinning
from declouds.errors import UserError

KINDS = ("train", "sample", "scene")
RESULT_FORMAT = "declouds benchmark 1"


class ProcessDied(Exception):
    """A measuring process ended before its time."""


class Worker:
    """A process that has prepared and warmed up a job, and runs it once whenever it is asked to.

    Raises:
        UserError: the config or the device cannot be used.
        ProcessDied: out of memory, or a fault of ours whose traceback it has printed.
    """

    def __init__(self, job: Job) -> None:
        self.config = job.config
        context = multiprocessing.get_context("spawn")  # `fork` would pass our memory on, and break CUDA
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, job), daemon=True)
        self.process.start()
        theirs.close()

    def answer(self) -> Any:
        """Wait for the next answer: first what is known after warming up, then one for each request."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, ConnectionResetError) as error:
            self.process.join()
            code = self.process.exitcode
            died = f"{self.config.name}: its process ended with code {code} (-9: killed for memory)"
            raise ProcessDied(died) from error
        if kind == "user error":
            raise UserError(content)
        if kind == "out of memory":
            raise ProcessDied(f"{self.config.name}: {content}")
        return content

    def send(self, request: str) -> None:
        """Send 'run' for the seconds of one more run, or 'end' for the memory in bytes; `answer` has the reply."""
        try:
            self.connection.send(request)
        except BrokenPipeError:
            pass  # `answer` finds out why

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


class Workers:
    """The processes of a job, usually one, which do the same at once."""

    def __init__(self, job: Job) -> None:
        folders = [job.folder / str(number) for number in range(job.processes)]
        self.workers = [Worker(replace(job, folder=folder)) for folder in folders]

    def answer(self) -> Any:
        """Wait until all are ready, and return what the first one says."""
        first, *_ = [worker.answer() for worker in self.workers]
        return first

    def ask(self, request: str) -> Any:
        """Let all of them 'run' for the seconds until the last is done, or 'end' for their memory in bytes."""
        for worker in self.workers:
            worker.send(request)
        answers = [worker.answer() for worker in self.workers]
        if request == "run":
            return max(answers)
        if request == "end":
            totals = {key: [answer[key] for answer in answers] for key in ("before", "peak")}
            return answers[0] | {key: None if None in values else sum(values) for key, values in totals.items()}
        return answers[0]

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        for worker in self.workers:
            worker.stop()


class Program:
    """Another program, timed in turn with declouds: ``python SCRIPT KIND SIZE BATCH DEVICE PRECISION STEPS``.

    It prepares the work and warms up, prints ``ready``, then for each line ``run`` on its input does the work once and
    prints the seconds, and for ``end`` prints its peak memory in bytes and ends. STEPS is 0 for its own number.

    Raises:
        ProcessDied: it ends early, or prints something else.
    """

    def __init__(self, job: Job) -> None:
        assert job.program is not None
        self.script = job.program
        words = (job.kind, job.size, job.batch, job.device, job.precision, job.steps or 0)
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([sys.executable, str(job.program), *map(str, words)], **pipes)

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ProcessDied(f"{self.script.name}: its process ended with code {self.process.wait()}")
        return line.strip()

    def answer(self) -> Any:
        """Wait until it is ready; nothing is known of its model."""
        if (line := self._line()) != "ready":
            raise ProcessDied(f"{self.script.name}: printed {line!r} instead of 'ready'")
        return dict(machine=None, model={}, first=None)

    def ask(self, request: str) -> Any:
        """Send 'run' for the seconds of one more run, or 'end' for the memory in bytes, and wait."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `_line` finds out why
        line = self._line()
        try:
            return float(line) if request == "run" else dict(kind="resident", before=None, peak=int(line))
        except ValueError as error:
            raise ProcessDied(f"{self.script.name}: printed {line!r} instead of a number") from error

    def stop(self) -> None:
        """End the program, whatever it is doing."""
        self.process.kill()
        self.process.communicate()


def measure(jobs: list[Job], repeat: int, content: dict[str, Any]) -> dict[str, Any]:
    """Measure one job, or two in turn, each in its process, and note machine and models in ``content``.

    If one of the processes dies, that is what is returned.
    """
    workers: list[Workers | Program] = []
    operators: Any = None
    first: list[float | None] = []
    seconds: list[list[float]] = [[] for _ in jobs]
    try:
        for job, config in zip(jobs, content["configs"], strict=True):
            workers.append(Program(job) if job.program else Workers(job))
            ready = workers[-1].answer()  # waited for: two that warm up at once would disturb each other
            content["machine"] = ready["machine"] or content["machine"]
            config.update(ready["model"])
            first.append(ready["first"])
        for _ in range(repeat):
            for worker, values in zip(workers, seconds, strict=True):
                values.append(worker.ask("run"))
        operators = workers[0].ask("profile") if content["profile"] else None
        memory = [worker.ask("end") for worker in workers]
    except ProcessDied as error:
        return dict(failed=str(error))
    finally:
        for worker in workers:
            worker.stop()
    results = [
        dict(spread(values), seconds=values, memory=used, first=begun, megapixels_per_second=job.megapixels / median)
        for job, values, used, begun in zip(jobs, seconds, memory, first, strict=True)
        if (median := statistics.median(values))
    ]
    ratio = spread([b / a for a, b in zip(*seconds, strict=True)]) if len(jobs) == 2 else None
    return dict(results=results, ratio=ratio, operators=operators)


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    return dict(median=statistics.median(values), min=min(values), max=max(values))


def jobs_of(args: argparse.Namespace, folder: Path) -> Iterator[tuple[list[Job], int]]:
    """Yield what to measure, one job a config, with the number of runs."""
    shared = dict(device=args.device, precision=args.precision, steps=args.steps, compile=args.compile)
    cases = [(kind, args.size, batch) for kind in ("train", "sample") if kind in args.only for batch in args.batch]
    cases += [("scene", args.scene, 1)] if "scene" in args.only else []
    all_threads = args.threads or os.cpu_count() or 1
    programs = [(config, None) for config in args.configs]
    programs += [(args.against, args.against)] if args.against else []
    for (kind, size, batch), processes in product(cases, args.processes):
        threads = args.threads if processes == 1 else max(1, all_threads // processes)
        own = dict(threads=threads, processes=processes, **shared)
        jobs = [
            Job(kind, config, size, batch, **own, folder=folder / str(number), program=program)
            for number, (config, program) in enumerate(programs)
        ]
        yield jobs, args.scene_repeat if kind == "scene" else args.repeat


def print_table(content: dict[str, Any]) -> None:
    """Print what was measured; the ratio is the time of the second config over that of the first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="seconds, median (min to max)", title_justify="left")
    table.add_column("measurement")
    for config in content["configs"]:
        table.add_column(Path(config["file"]).stem, justify="right")
        table.add_column("Mpx/s", justify="right")
        table.add_column("peak memory", justify="right")
    if len(content["configs"]) == 2:
        table.add_column("second / first", justify="right")
    for row in content["measurements"]:
        if "failed" in row:
            table.add_row(row["measurement"], Text(f"failed: {row['failed']}"))
            continue
        cells = []
        for result in row["results"]:
            peak, kind = result["memory"]["peak"], result["memory"]["kind"]
            first = f"\nfirst {result['first']:.3g}" if content["compile"] and result["first"] else ""
            cells += [shown(result) + first, f"{result['megapixels_per_second']:.3g}"]
            cells += ["?" if peak is None else f"{peak / 2**30:.2f} GiB {kind}"]
        table.add_row(row["measurement"], *cells, *([shown(row["ratio"])] if row["ratio"] else []))
    for row in content["measurements"]:
        if row.get("operators"):
            table.caption_justify = "left"
            lines = "\n".join(f"{share:6.1%} {calls:6} x {name}" for name, share, calls in row["operators"])
            table.caption = Text(f"{table.caption or ''}\n{row['measurement']}, share of the time\n{lines}\n")
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(table)
    machine = content["machine"]
    if machine:
        text = f"{machine['device']}: {machine['name']}, {machine['threads']} threads, torch {machine['torch']}"
        console.print(text, highlight=False)


def shown(value: dict[str, float]) -> str:
    """Write median and spread with three digits."""
    return f"{value['median']:.3g} ({value['min']:.3g} to {value['max']:.3g})"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the arguments, and check what can be checked before any work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="one config, or two to compare")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="what to measure (all)")
    parser.add_argument("--size", type=int, default=256, metavar="N", help="side of the images (256)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], metavar="N", help="images at a time (1 8)")
    parser.add_argument("--scene", type=int, default=2048, metavar="N", help="side of the scene (2048)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs of each step and sample (5)")
    parser.add_argument("--scene-repeat", type=int, default=1, metavar="N", help="runs of the scene (1)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the networks (fp32)")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps (those of the config)")
    parser.add_argument(
        "--against", type=Path, metavar="SCRIPT", help="another program to time in turn, see `Program` in this file"
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the networks, and tell the time of the first run"
    )
    parser.add_argument(
        "--processes",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="processes at once, sharing the threads (1)",
    )
    parser.add_argument("--profile", action="store_true", help="also the share of time by operator, of the first")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (as many as torch takes)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured into this file")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    args = parser.parse_args(arguments)
    if len(args.configs) > 2:
        raise UserError(f"{len(args.configs)} configs: give one, or two to compare")
    if args.against is not None and len(args.configs) > 1:
        raise UserError("--against compares one config with another program: give one config")
    for config in args.configs:
        if not config.is_file():
            raise UserError(f"{config} does not exist: give the path of a config file")
    if args.against is not None and not args.against.is_file():
        raise UserError(f"--against {args.against} does not exist: give the path of a Python script")
    for name in ("size", "scene", "repeat", "scene_repeat", "threads", "steps"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: give 1 or more")
    for name in ("batch", "processes"):
        if min(getattr(args, name)) < 1:
            raise UserError(f"--{name} {min(getattr(args, name))}: give 1 or more")
    if args.against is not None and max(args.processes) > 1:
        raise UserError("--processes counts processes of declouds: leave out --against")
    if args.json is not None:
        if not args.json.parent.is_dir():
            raise UserError(f"{args.json}: the folder {args.json.parent} does not exist: create it first")
        if args.json.is_dir() or (args.json.exists() and not args.overwrite):
            raise UserError(f"{args.json} exists already: choose another name, or give --overwrite")
    return args


def run(args: argparse.Namespace) -> int:
    """Measure everything, print and write it; return the exit code, 1 if a measurement failed."""
    if args.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # measuring processes inherit it
    content: dict[str, Any] = dict(
        format=RESULT_FORMAT,
        machine={},
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # timings of a busy machine say little
        scene_windows=dict(tile=TILE, overlap=OVERLAP),
        profile=args.profile,
        compile=args.compile,
        configs=[dict(file=str(path)) for path in (*args.configs, *([args.against] if args.against else []))],
        measurements=[],
    )
    with TemporaryDirectory() as folder:
        for jobs, repeat in jobs_of(args, Path(folder)):
            print(f"measuring {jobs[0].title} ...", file=sys.stderr, flush=True)
            kept = {
                key: value
                for key, value in asdict(jobs[0]).items()
                if key in ("kind", "size", "batch", "precision", "processes")
            }
            content["measurements"].append(dict(measurement=jobs[0].title, **kept, **measure(jobs, repeat, content)))
    print_table(content)
    if args.json is not None:
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")
        print(f"written to {args.json}")
    return int(any("failed" in row for row in content["measurements"]))


def main(arguments: list[str] | None = None) -> None:
    """Run the tool; what the user can mend ends in one line and exit code 2."""
    limit_spinning()  # one process waits while the other is timed
    try:
        sys.exit(run(parse(arguments)))
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
