"""`make gpu` at toy size: the GPU's script runs on the CPU and in Triton's interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
PARTS = ["kernels", "operator", "agreement", "train srn", "ddp"]
"""Parts whose commands no other test runs."""


@pytest.mark.processes
def test_every_part_runs_and_is_reported(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "--out", tmp_path, "--only", *PARTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads((tmp_path / "report.json").read_text())
    results = {name: part["result"] for name, part in report["parts"].items()}
    assert done.returncode == 0, (results, (tmp_path / "report.md").read_text())
    assert list(results) == PARTS
    assert results["agreement"].startswith("done: mean PSNR of the devices differs by 0.00")
    assert {"operator_float32", "operator_bfloat16", "train_srn"} <= {*report["benchmarks"]}
    assert report["machine"]["torch"] in (tmp_path / "report.md").read_text()
