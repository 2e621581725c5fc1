"""Time SVRNN's forward pass on a CPU with the naive recurrence and with ours, with and without keeping freed memory.

python benchmarks/svrnn.py [--height 720] [--width 1280] [--repeats 3]

Each of the four combinations runs in its own process, round after round; medians are printed, and the profiler's share
of the recurrence and of the largest other operations in the last round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from deblurzoo.allocator import SWITCH, keep_memory

NAIVE, OURS = "naive loop", "ours"


def measure(recurrence: str, height: int, width: int) -> dict[str, float]:
    """Return seconds of the forward pass, and milliseconds by operation, in this process."""
    keep_memory()
    import torch

    from deblurzoo.nets import svrnn
    from deblurzoo.ops.spatial_rnn import reference, spatial_rnn

    torch.manual_seed(0)
    net, blur = svrnn.SVRNN().eval(), torch.rand(1, 1, 3, height, width)

    def recorded(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        with torch.profiler.record_function("recurrence"):
            return (reference.forward if recurrence == NAIVE else spatial_rnn)(x, w)

    svrnn.spatial_rnn = recorded
    with torch.no_grad():
        net(blur)
        start = time.perf_counter()
        net(blur)
        result = {"seconds": time.perf_counter() - start}
        with torch.profiler.profile() as profile:
            net(blur)
    events = {event.key: event for event in profile.key_averages()}
    total = sum(event.self_cpu_time_total for event in events.values())
    result["recurrence"] = events["recurrence"].cpu_time_total / total
    own = sorted(events.values(), key=lambda event: -event.self_cpu_time_total)
    return result | {event.key: event.self_cpu_time_total / total for event in own[:4]}


def in_new_process(recurrence: str, keep: bool, height: int, width: int) -> dict[str, float]:
    """Return `measure` of a process of its own."""
    command = [sys.executable, __file__, "--measure", recurrence, "--height", str(height), "--width", str(width)]
    environment = os.environ | {SWITCH: str(int(keep))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=(NAIVE, OURS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.height, options.width)))
        return
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    cases = [(recurrence, keep) for keep in (False, True) for recurrence in (NAIVE, OURS)]
    rounds: dict[tuple[str, bool], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in track(range(options.repeats), description="rounds", transient=True):
        for case in cases:
            rounds[case].append(in_new_process(*case, options.height, options.width))
    table = Table("recurrence", "freed memory", "forward s", "in the recurrence", "largest other operations")
    for (recurrence, keep), results in rounds.items():
        seconds = statistics.median(result["seconds"] for result in results)
        *_, last = results
        others = ", ".join(f"{name} {share:.1%}" for name, share in list(last.items())[2:])
        kept = "kept" if keep else "given back"
        table.add_row(recurrence, kept, f"{seconds:.2f}", f"{last['recurrence']:.1%}", others)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
