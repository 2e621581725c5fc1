"""Check and measure everything on a GPU within nine minutes; without a GPU, at toy size on the CPU.

python benchmarks/gpu.py [--out runs/gpu] [--only PART …] [--data FOLDER]

Each part is one or several commands with a common time limit, in the order of their value. A part that fails or exceeds
its limit does not stop the other parts. OUT/report.md contains the output of all parts. OUT/report.json contains the
machine, the seconds and the result of each part, and the medians of the benchmarks. FOLDER is the data of
study/README.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deblurzoo.benchmark.harness import machine, machine_line
from deblurzoo.errors import as_program
from deblurzoo.files import user_path, write_atomically

HERE = Path(__file__).parent
ROOT = HERE.parent
VERB = (sys.executable, "-m", "deblurzoo")
ACCURACY = 0.01
"""Maximum difference of the mean PSNR between the GPU and the CPU, in dB."""


class Part(NamedTuple):
    """Commands that run one after the other, with their common time limit in seconds."""

    limit: float
    commands: list[Sequence[str]]


def parts(on_gpu: bool, data: Path | None) -> dict[str, Part]:
    """Return the parts by name; the limits on a GPU add up to nine minutes."""
    cuda, gpu = ("cuda", "gpu") if on_gpu else ("cpu", "cpu")

    def script(name: str, *words: str, json_file: str | None = None) -> list[str]:
        kept = ["--json", f"{json_file}.json"] if json_file else []
        return [sys.executable, str(HERE / name), *words, *kept]

    def train(network: str) -> list[str]:
        size = ["--steps", "200", "--repeats", "1"] if on_gpu else ["--steps", "1", "--repeats", "1", "--batch", "1"]
        cases = ["before", "default", "fast"] if on_gpu else ["default"]
        words = ["--networks", network, "--device", gpu, "--cases", *cases, *size]
        return script("train.py", *words, json_file=f"train_{network}")

    def operator(dtype: str) -> list[str]:
        size = ["--repeats", "5"] if on_gpu else ["--repeats", "1", "--shapes", "FlowRNN 1/8 at 720p"]
        return script("spatial_rnn.py", "--device", cuda, "--dtype", dtype, *size, json_file=f"operator_{dtype}")

    def toy_run(name: str, *trainer: str) -> list[str]:
        small = ["experiment=srn_toy", "data.root=toy", f"trainer.max_steps={50 if on_gpu else 2}", "logger=csv"]
        return [*VERB, "train", *small, f"name={name}", *trainer]

    def toy_evaluation(trainer: str, number: int) -> list[str]:
        words = ["checkpoint=runs/agreement", "data=toy", "data.root=toy", f"out=agreement_{number}"]
        return [*VERB, "evaluate", *words, f"trainer={trainer}", "pictures=0"]

    inference = [*VERB, "benchmark", "--device", cuda, "--out", "inference", "--sizes"]
    inference += ["--how", "eager", "compiled"] if on_gpu else ["--size", "64x64", "--how", "eager", "--repeats", "1"]
    devices = sorted({1, torch.cuda.device_count()} - {0})
    ddp = ["trainer=ddp", f"trainer.accelerator={gpu}"]
    study = [sys.executable, str(ROOT / "study" / "study.py"), "study", "--runs", "study", "--device", gpu]
    study += ["--data", str(data), "--only", "srn"] if data else ["--toy", "--only", "srn"]
    test = [sys.executable, "-m", "pytest", "-n0", str(ROOT / "tests" / "ops" / "triton_cases.py")]
    return {
        "kernels": Part(60, [[*test, *([] if on_gpu else ["-k", "gradcheck"])]]),
        "operator": Part(60, [operator("float32"), operator("bfloat16")]),
        "inference": Part(90, [inference]),
        "agreement": Part(
            60, [toy_run("agreement", f"trainer={gpu}"), toy_evaluation("cpu", 1), toy_evaluation(gpu, 2)]
        ),
        **{f"train {network}": Part(50, [train(network)]) for network in ("svrnn", "srn", "flow_rnn")},
        "ddp": Part(30, [toy_run(f"ddp{n}", *ddp, f"trainer.devices={n}") for n in devices]),
        "study": Part(90, [study]),
    }


def run(part: Part, folder: Path, toy: bool) -> tuple[str, str]:
    """Run the commands of a part in a folder; return the result in words, and the output."""
    environment = {**os.environ, "TRITON_INTERPRET": str(int(toy))}
    end = time.monotonic() + part.limit * (10 if toy else 1)
    printed = []
    for command in part.commands:
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, timeout=max(0.1, end - time.monotonic()), check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            return "exceeded its time limit", "".join([*printed, (error.stdout or b"").decode(errors="replace")])
        printed.append(done.stdout)
        if done.returncode:
            return f"failed with exit code {done.returncode}", "".join(printed)
    return "done", "".join(printed)


def agreement(folder: Path) -> str:
    """Return the result of the comparison of the two evaluations in words."""
    found = [
        json.loads(file.read_text())["restored"]["psnr"] for file in sorted(folder.glob("agreement_*/results.json"))
    ]
    difference = max(found) - min(found)
    state = "done" if difference <= ACCURACY else "failed"
    return f"{state}: mean PSNR of the devices differs by {difference:.4f} dB"


def main() -> None:
    """Run all parts; exit with code 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=user_path, default=Path("runs/gpu"), help="folder of the report")
    parser.add_argument("--only", nargs="+", metavar="PART", help="names of parts; by default all")
    parser.add_argument("--data", type=user_path, help="data of the study; by default toy data")
    given = parser.parse_args()
    out, on_gpu = given.out.resolve(), torch.cuda.is_available()
    shutil.rmtree(out / "work", ignore_errors=True)
    (out / "work").mkdir(parents=True)
    todo = parts(on_gpu, given.data)
    if unknown := {*(given.only or ())} - {*todo}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}. The parts are {', '.join(todo)}")
    toy = [*VERB, "data", "toy", "--out", "toy", "--train-clips", "4", "--test-clips", "2", "--frames", "16"]
    subprocess.run(toy, cwd=out / "work", check=True)
    place = machine()
    results: dict[str, Any] = {"machine": place, "parts": {}}
    texts = [f"# GPU report\n\n{machine_line(place)}\n"]
    for name, part in todo.items():
        if given.only and name not in given.only:
            continue
        print(f"{name} (at most {part.limit:.0f} s on a GPU)", flush=True)
        start = time.monotonic()
        state, printed = run(part, out / "work", toy=not on_gpu)
        if name == "agreement" and state == "done":
            state = agreement(out / "work")
        seconds = time.monotonic() - start
        print(f"  {state}, {seconds:.0f} s", flush=True)
        results["parts"][name] = {"result": state, "seconds": round(seconds, 1)}
        medians = sorted([*(out / "work").glob("*.json"), *(out / "work").glob("*/benchmark.json")])
        results["benchmarks"] = {file.stem: json.loads(file.read_text()) for file in medians}
        texts.append(f"\n## {name}: {state}\n\n```\n{printed}```\n")
        write_atomically(out / "report.json", json.dumps(results, indent=1).encode())
        write_atomically(out / "report.md", "".join(texts).encode())
    print(f"report: {out / 'report.md'}")
    sys.exit(any(not part["result"].startswith("done") for part in results["parts"].values()))


if __name__ == "__main__":
    as_program(main)
