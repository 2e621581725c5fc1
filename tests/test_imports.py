"""Modules that an import or a command must not load; import-linter checks the layers (`make lint`)."""

import subprocess
import sys
from pathlib import Path

import pytest

import deblurzoo

FRAMEWORKS = "pytorch_lightning torchmetrics albumentations wandb hydra omegaconf kornia"
HEAVY = f"{FRAMEWORKS} torch numba"
OURS = "import sys, deblurzoo.cli; deblurzoo.cli.main()"
CASES = {
    "pure": (
        "import deblurzoo.synthesis.formation, deblurzoo.nets, deblurzoo.ops, deblurzoo.restore.restorer, "
        "deblurzoo.training.checkpoints, deblurzoo.export, deblurzoo.weights",
        FRAMEWORKS,
    ),
    "light": ("import deblurzoo.media, deblurzoo.reports, deblurzoo.reports.table, deblurzoo.data", HEAVY),
    "deblur": (f"{OURS} --help", HEAVY),
    "export": (f"{OURS} --help", HEAVY),
    "verify": (f"{OURS} --help", HEAVY),
    "import": (f"{OURS} --help", HEAVY),
    "synthesize": (f"{OURS} --help", HEAVY),
    "data toy": (f"{OURS} --help", HEAVY),
    "experiments": (OURS, HEAVY),
    "compare": (f"{OURS} NOTHING", HEAVY),
    "trian": (OURS, HEAVY),
    "train seed=x": (OURS, "torch pytorch_lightning wandb albumentations"),
    "train sede=1": (OURS, "torch pytorch_lightning wandb albumentations"),
    "train data=gopro": (OURS, "torch pytorch_lightning wandb albumentations"),
    "evaluate data=toy": (OURS, "torch pytorch_lightning wandb albumentations"),
    "train --help": (OURS, "torch pytorch_lightning wandb albumentations"),
}
"""Imports and commands, each with the packages that it must not load."""


@pytest.mark.processes
@pytest.mark.parametrize("case", CASES)
def test_nothing_heavy_is_loaded_in_vain(case: str, tmp_path: Path) -> None:
    code, forbidden = CASES[case]
    words = [*case.split(), *code.removeprefix(OURS).split()] if code.startswith(OURS) else []
    check = f"lambda: print(list(filter(sys.modules.__contains__, {forbidden.split()})), file=sys.stderr)"
    program = f"import atexit, sys\natexit.register({check})\n{OURS if words else code}"
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_no_source_file_is_longer_than_400_lines() -> None:
    for file in Path(deblurzoo.__file__).parent.rglob("*.py"):
        assert len(file.read_text().splitlines()) <= 400, file
