"""One case of `deblurzoo benchmark`, in a process of its own: `python -m deblurzoo.benchmark.case JSON`."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurzoo.allocator import SWITCH, keep_memory

if TYPE_CHECKING:
    from torch import Tensor

    from deblurzoo.nets.base import DeblurNet

ENOUGH_SECONDS, ENOUGH_RUNS = 1.0, 10
"""A process restores one picture again and again until it has done so for so long, or so often."""
Result = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What is measured together.

    Attributes:
        network: a name of `NETWORKS`.
        width: multiplies its channel numbers.
        how: `naive`, `eager`, `compiled` or `onnxruntime`; or `onnx`, which writes the file and measures nothing.
        precision: `fp32`, or `bf16`, which is autocast.
        device: `cpu` or `cuda`.
        size: height and width in pixels.
    """

    network: str
    width: float
    how: str
    precision: str
    device: str
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.network} {self.how} {self.precision} on {self.device} at {self.size[0]}x{self.size[1]}"


def in_new_process(case: Case, onnx_file: Path) -> Result:
    """Return `measure` of a new process, or why there is none as `reason`."""
    environment = os.environ | ({SWITCH: "0"} if case.how == "naive" else {})
    if case.how == "naive":
        for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "THP_MEM_ALLOC_ENABLE"):
            environment.pop(name, None)  # what `keep_memory` has set in this process
    command = [sys.executable, "-m", __name__, json.dumps(asdict(case)), str(onnx_file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return {"reason": f"killed by signal {-done.returncode}: too little memory?"}
    if done.returncode:
        return {"reason": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(case: Case, onnx_file: Path) -> Result:
    """Return seconds of the first run and medians of later ones, by the clock and of the CPU, and the peak in bytes.

    `cpu_seconds` is the time of all threads of the process, which others lengthen less than `seconds`. On a CPU the
    peak is the resident memory of the whole process, on a GPU what torch has allocated there at most.
    """
    import torch

    from deblurzoo.benchmark.networks import make
    from deblurzoo.export.onnx import write_onnx

    net = make(case.network, case.width)
    if case.how == "onnx":
        write_onnx(net, onnx_file)
        return {}
    on_gpu = case.device == "cuda"
    blur = torch.rand(1, net.frames, 3, *case.size, generator=torch.Generator().manual_seed(0))
    run = _on_onnxruntime(onnx_file, on_gpu, blur) if case.how == "onnxruntime" else _on_torch(net, case, blur)

    def seconds() -> tuple[float, float]:
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start, time.process_time() - cpu_start

    with torch.inference_mode():
        first, _ = seconds()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        times = [seconds()]
        while sum(wall for wall, _ in times) < ENOUGH_SECONDS and len(times) < ENOUGH_RUNS:
            times.append(seconds())
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    return {"seconds": wall, "cpu_seconds": cpu, "first": first, "peak": _peak(case)}


def _on_torch(net: "DeblurNet", case: Case, blur: "Tensor") -> Callable[[], object]:
    import torch

    from deblurzoo.benchmark.networks import with_naive_recurrence
    from deblurzoo.nets.base import restore_any_size

    if case.how == "naive":
        with_naive_recurrence()
    net, blur = net.to(case.device), blur.to(case.device)
    if case.how == "compiled":
        net.compile(dynamic=False)

    def run() -> object:
        with torch.autocast(case.device, torch.bfloat16) if case.precision == "bf16" else nullcontext():
            return restore_any_size(net, blur)

    return run


def _on_onnxruntime(onnx_file: Path, on_gpu: bool, blur: "Tensor") -> Callable[[], object]:
    """Run the file on a picture in main memory: on a GPU its way there and back is part of the time."""
    import onnxruntime

    provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(onnx_file, providers=[provider])
    if provider not in session.get_providers():  # onnxruntime takes the CPU then
        raise RuntimeError(f"this onnxruntime has no {provider}: pip install onnxruntime-gpu")
    inputs = {"blur": blur.numpy()}
    return lambda: session.run(None, inputs)


def _peak(case: Case) -> int | None:
    """Return the largest memory in bytes, or None where nobody counts it: onnxruntime's on a GPU."""
    if case.device == "cuda":
        import torch

        return None if case.how == "onnxruntime" else torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Linux's ru_maxrss starts at the parent's.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Measure the case of the command line and print the result as a line of JSON."""
    given, onnx_file = json.loads(sys.argv[1]), Path(sys.argv[2])
    case = Case(**given | {"size": tuple(given["size"])})
    try:
        result = measure(case, onnx_file)
    except Exception as error:  # whatever cannot run here: its reason stands in the report
        result = {"reason": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    print(json.dumps(result))


if __name__ == "__main__":
    keep_memory()
    main()
