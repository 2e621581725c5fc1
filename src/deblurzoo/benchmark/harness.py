"""Common harness of all benchmarks: repeated rounds, separate processes, medians, failure reasons, tables, JSON.

`python -m deblurzoo.benchmark.harness MODULE FUNCTION ARGUMENTS` is the command of a separate process.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from deblurzoo.allocator import SWITCH
from deblurzoo.files import user_path, write_atomically

C = TypeVar("C", bound=Hashable)
Figures = dict[str, Any]
"""Values of a case by name, or the `reason` for its failure."""
Column = Callable[[C], object]
"""Function that returns the cell of a case; if it raises a KeyError (a missing value), "-" is printed."""


def in_rounds(
    cases: Sequence[C],
    measure: Callable[[C], Figures],
    repeats: int,
    name: Callable[[C], str] = str,
    cost: Callable[[C], float] = lambda _: 1,
) -> Iterator[dict[C, Figures]]:
    """Yield the medians of all cases after each round.

    A round measures each case once, so that drift of the machine's speed affects all cases. A case that fails is not
    repeated. `cost` estimates the relative duration of a case.
    """
    found: dict[C, list[Figures]] = {case: [] for case in cases}
    with _Progress(repeats * sum(map(cost, cases))) as progress:
        for _ in range(repeats):
            for case in cases:
                progress.show(name(case), cost(case))
                failed = found[case] and "reason" in found[case][-1]
                found[case].append(found[case][-1] if failed else measure(case))
            yield {case: medians(rounds) for case, rounds in found.items()}


def medians(rounds: list[Figures]) -> Figures:
    """Return the median of each value over all rounds, or the reason if a round failed.

    A median is None if no round has the value. `rounds` lists the `seconds` of all rounds.
    """
    reason = next((figures["reason"] for figures in rounds if "reason" in figures), None)
    if reason is not None:
        return {"reason": reason}
    columns = {key: [figures[key] for figures in rounds if figures[key] is not None] for key in rounds[0]}
    result = {key: type(values[0])(statistics.median(values)) if values else None for key, values in columns.items()}
    return result | ({"rounds": columns["seconds"]} if "seconds" in columns else {})


def in_new_process(function: Callable[..., Figures], *arguments: Any, keep: bool = True) -> Figures:
    """Return the values of a function called in a new process, or the reason for its failure.

    The function is imported by name, and its arguments are passed as JSON.

    Args:
        function: a function at the top level of a module.
        arguments: arguments of the function, of JSON types.
        keep: whether the process keeps freed memory instead of returning it to the system.
    """
    path = [sys.path[0], os.environ.get("PYTHONPATH", "")]  # sys.path[0] is the folder of the script
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    for key in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "THP_MEM_ALLOC_ENABLE"):
        environment.pop(key, None)  # set by `keep_memory` in this process
    if not keep:
        environment[SWITCH] = "0"
    module = Path(sys.argv[0]).stem if function.__module__ == "__main__" else function.__module__
    command = [sys.executable, "-m", __spec__.name, module, function.__name__, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return {"reason": f"killed by signal {-done.returncode}, possibly out of memory"}
    if done.returncode:
        return {"reason": (done.stderr.strip().splitlines() or ["no error message"])[-1]}
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _new_process(module: str, function: str, arguments: str) -> None:
    """Print the values, or the reason for a failure, as a line of JSON."""
    try:
        figures = getattr(import_module(module), function)(*json.loads(arguments))
    except Exception as error:  # any failure is reported as a reason
        figures = {"reason": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    print(f"\n{json.dumps(figures)}")


_MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("\\n" + json.dumps([code, time.perf_counter() - start, used.ru_utime, used.ru_stime, used.ru_maxrss]))
"""


def command_figures(
    command: Sequence[str], environment: dict[str, str] | None = None, may_fail: bool = False
) -> Figures:
    """Return `seconds`, `cpu` and `system` seconds, and `peak` memory in bytes of a command, or the reason for failure.

    The system's seconds are a part of the CPU's. A command that `may_fail` is measured whatever its exit code.
    """
    # A process inherits the peak of its parent: the process between this one and the command has a small peak.
    between = [sys.executable, "-c", _MEASURE, *command]
    done = subprocess.run(between, env=environment, capture_output=True, text=True, check=True)
    *printed, last = done.stdout.splitlines()
    code, seconds, user, system, peak = json.loads(last)
    if code and not may_fail:
        return {"reason": next((line for line in reversed(printed) if line), f"exit code {code}")}
    return {"seconds": seconds, "cpu": user + system, "system": system, "peak": 1024 * peak}


def resident_peak() -> int:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # On Linux, ru_maxrss includes the parent's peak.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def machine() -> dict[str, Any]:
    """Return the names of the CPU and the GPU, the number of threads, the torch version and the load average."""
    import torch  # deferred: torch takes seconds to import

    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 1),
    }


def machine_line(found: dict[str, Any]) -> str:
    """Return the result of `machine` as a line of text."""
    gpu = f", {found['gpu']}" if found["gpu"] else ""
    place = f"{found['cpu']}, {found['threads']} threads{gpu}"
    return f"{place}; torch {found['torch']}; load average at the start {found['load_average']}"


def table(cases: Iterable[C], words: dict[str, Column[C]], figures: dict[str, Column[C]]) -> Table:
    """Return a table with a row per case. Columns of `words` are left-aligned, columns of `figures` right-aligned."""
    result = Table()
    for heading in [*words, *figures]:
        result.add_column(heading, justify="left" if heading in words else "right", no_wrap=heading in figures)
    for case in cases:
        result.add_row(*(_cell(column, case) for column in [*words.values(), *figures.values()]))
    return result


def _cell(column: Column[C], case: C) -> str:
    try:
        return str(column(case))
    except KeyError:
        return "-"


def parser(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """Return the argument parser of a script in `benchmarks/`, with the common options."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--repeats", type=_rounds, default=repeats, help="number of rounds; the median is printed")
    result.add_argument("--json", type=user_path, metavar="FILE", help="write the medians of all cases to FILE")
    return result


def _rounds(text: str) -> int:
    """Argparse type for a number of rounds."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least 1")
    return int(text)


def measured(cases: Sequence[C], measure: Callable[[C], Figures], options: argparse.Namespace) -> dict[C, Figures]:
    """Return the medians of all cases. `options`, from `parser`, specify the number of rounds and the JSON file."""
    start = machine()
    *_, found = in_rounds(cases, measure, options.repeats, _name)
    if options.json:
        report = {"machine": start, "cases": [{"case": _name(case), **figures} for case, figures in found.items()]}
        write_atomically(options.json, json.dumps(report, indent=1).encode())
    Console(soft_wrap=True).print(machine_line(start), highlight=False)
    return found


def show(
    found: dict[C, Figures], words: dict[str, Column[C]], figures: dict[str, Column[C]], title: str | None = None
) -> None:
    """Print a table of all cases, and the reasons for failures.

    A line separates groups of cases; cases of a group differ only in the last column of `words`.
    """
    cases = [case for case, row in found.items() if "reason" not in row]
    printed = table(cases, words, figures)
    printed.title, printed.title_justify = title, "left"
    groups = [[_cell(column, case) for column in list(words.values())[:-1]] for case in cases]
    for line, (group, following) in zip(printed.rows, pairwise(groups), strict=False):
        line.end_section = group != following
    console = Console(width=140)
    console.print(printed)
    for case, row in found.items():
        if "reason" in row:
            console.print(f"not measured: {_name(case)}: {row['reason']}", highlight=False, markup=False)


def _name(case: object) -> str:
    return ", ".join(map(str, case)) if isinstance(case, tuple) else str(case)


class _Progress:
    """Progress display: on a terminal, a bar with the remaining time; otherwise, a line per case."""

    def __init__(self, total: float) -> None:
        self.console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("ETA")
        self.bar = Progress(
            *columns, TimeRemainingColumn(), console=self.console, transient=True, speed_estimate_period=3600
        )
        self.total = total
        self.task = self.bar.add_task("", total=total)
        self.done, self.current, self.start = 0.0, 0.0, time.monotonic()

    def __enter__(self) -> "_Progress":
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, name: str, cost: float) -> None:
        """Display the next case."""
        self.done, self.current = self.done + self.current, cost
        self.bar.update(self.task, completed=self.done, description=name)
        if not self.console.is_terminal:
            spent = time.monotonic() - self.start
            left = f", about {spent * (self.total - self.done) / self.done / 60:.0f} min left" if self.done else ""
            share = self.done / self.total if self.total else 1
            self.console.print(f"{share:4.0%} {name}{left}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    _new_process(*sys.argv[1:])
