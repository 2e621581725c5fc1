"""Which way imports point."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import deblurzoo

ROOT = Path(deblurzoo.__file__).parent
FRAMEWORKS = {"pytorch_lightning", "hydra", "omegaconf", "wandb", "torchmetrics"}
VERBS = ("train", "evaluate", "deblur", "export", "benchmark", "compare", "experiments", "synthesize")
ENTRY_POINTS = {"deblurzoo.cli", *(f"deblurzoo.{verb}" for verb in VERBS)}
FORBIDDEN = {
    "ops": {*FRAMEWORKS, "deblurzoo.nets", "deblurzoo.data", "deblurzoo.training", "deblurzoo.callbacks"},
    "nets": {*FRAMEWORKS, "deblurzoo.data", "deblurzoo.training", "deblurzoo.callbacks", "deblurzoo.training.losses"},
    "synthesis": {*FRAMEWORKS, "deblurzoo.nets", "deblurzoo.training", "deblurzoo.callbacks"},
    "data": {"deblurzoo.nets", "deblurzoo.training", "deblurzoo.callbacks", "deblurzoo.training.losses", "wandb"},
    "restore": {*FRAMEWORKS, "deblurzoo.data", "deblurzoo.callbacks"},
    "modules": {"hydra", "omegaconf", "wandb", "deblurzoo.data", "deblurzoo.callbacks", "deblurzoo.commands.hydra_app"},
    "callbacks": {"hydra", "omegaconf", "deblurzoo.nets", "deblurzoo.training", "deblurzoo.commands.hydra_app"},
    "batch.py": {*FRAMEWORKS, "deblurzoo"},
    "flow.py": {*FRAMEWORKS, "deblurzoo"},
    "losses.py": {*FRAMEWORKS, "deblurzoo.nets", "deblurzoo.data", "deblurzoo.training", "deblurzoo.callbacks"},
    "schedules.py": {*FRAMEWORKS, "deblurzoo", "torch"},
}


def imported_names(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_point_one_way(room: str) -> None:
    place = ROOT / room
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    for file in files:
        for name in imported_names(file):
            broken = [f for f in FORBIDDEN[room] | ENTRY_POINTS if name == f or name.startswith(f + ".")]
            assert not broken, f"{file.relative_to(ROOT)} imports {name}"


def test_comparing_imports_nothing_that_takes_seconds() -> None:
    heavy = {*FRAMEWORKS, "torch", "albumentations", "plotly"}
    code = f"import sys, deblurzoo.commands.compare; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_source_file_is_longer_than_400_lines() -> None:
    for file in ROOT.rglob("*.py"):
        assert len(file.read_text().splitlines()) <= 400, file
