"""Pages that compare three networks: on one data set, and on three."""

from pathlib import Path

import pytest

from deblurzoo.reports.gather import Failure
from deblurzoo.reports.page import write_page
from reports.pages import EVIL, evaluation


@pytest.fixture
def page(tmp_path: Path) -> Path:
    evaluations = [
        evaluation(tmp_path, "middle", 30.0, 2_000, paper={"psnr": 31.5, "ssim_matlab3d": 0.9}),
        evaluation(tmp_path, EVIL, 29.98, 1_990),
        evaluation(tmp_path, "best_of_the_three.with-a_rather.long-name", 31.0, 3_000_000),
    ]
    failures = [Failure("broken <b>run</b>", "data.root=/nowhere does not exist & more")]
    write_page(evaluations, failures, tmp_path / "page & more.html", inline_pictures=False)
    return tmp_path / "page & more.html"


FIELD = {"first": (30.0, 28.0, 29.0), "second": (30.5, 28.004, 27.0), "third": (29.0, 27.0, 31.0)}
"""PSNR of three networks on three data sets."""


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """The page of three networks on three data sets."""
    evaluations = [
        evaluation(tmp_path / f"{name}_{blur}", name, value, 1000, blur, more={"mae": 40 - value})
        for name, values in FIELD.items()
        for blur, value in zip("abc", values, strict=True)
    ]
    write_page(evaluations, [], tmp_path / "page.html", inline_pictures=False)
    return tmp_path / "page.html"
