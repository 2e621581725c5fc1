"""A copy of the toy data, to damage."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "toy"))
