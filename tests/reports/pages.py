"""Evaluations, and pages that compare them, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblurzoo.media.images import write_png
from deblurzoo.metrics import METRICS, Metric
from deblurzoo.reports.page import Evaluation, write_page
from deblurzoo.reports.results import Checkpoint, Facts, Measured, Network, Results, Tiles

EVIL = '<script>alert("x")</script>&<img src=x onerror=alert(1)>'
HEIGHT, WIDTH = 96, 144
FRAMES = [("clip_a", f"{number:06d}") for number in range(6)]
PICTURED = FRAMES[::3]


def evaluation(
    folder: Path,
    name: str,
    psnr: float = 30.0,
    size: int = 1000,
    blur: str = "blur",
    paper: dict[str, float] | None = None,
    more: dict[str, float] | None = None,
) -> Evaluation:
    """Write a run folder with training curves, results and images, as training and evaluation do."""
    run = folder / f"run_{psnr}"
    out = run / "evaluate" / blur
    (run / "csv" / "version_0").mkdir(parents=True, exist_ok=True)
    lines = [f"{step},{0.01 / step},,{psnr * step},\n{step},,{psnr - 1 / step},," for step in range(1, 6)]
    lines = ["step,train/loss,val/psnr,train/tflop,other", *lines, ""]
    (run / "csv" / "version_0" / "metrics.csv").write_text("\n".join(lines))
    means = {"psnr": psnr, "ssim": psnr / 40, "ssim_matlab3d": psnr / 35, **(more or {})}
    before = {"psnr": 25.0, "ssim": 0.7, "ssim_matlab3d": 0.8, **dict.fromkeys(more or {}, 9.0)}
    images = [
        Measured(clip=clip, frame=frame, height=HEIGHT, width=WIDTH, ms=size / 100, blurry=before,
                 restored={**means, "psnr": psnr + (-1) ** n * n / 4},
                 tiles=Tiles(length=[n + 1.0, 2 * n + 3.0], blurry=[90.0, 110.0], restored=[60.0, 110 + n - psnr]))
        for n, (clip, frame) in enumerate(FRAMES)
    ]  # fmt: skip
    results = Results.of(facts(name, size, blur), images)
    results.restored, results.gain_db, results.do_no_harm_psnr = means, psnr - 25, psnr + 5
    out.mkdir(parents=True)
    (out / "results.json").write_bytes(results.as_json())
    for clip, frame in FRAMES:
        write_png(out / "restored" / clip / f"{frame}.png", flat(120 + int(psnr)))
    for clip, frame in PICTURED:
        write_png(out / "side_by_side" / f"{clip}_{frame}.png", np.concatenate([flat(40), flat(90), flat(200)], axis=1))
    return Evaluation(name, run, out, results, paper or {})


def facts(name: str, size: int = 1000, blur: str = "blur") -> Facts:
    """Return the facts of an evaluation of the toy data."""
    config = {"data": {}, "trainer": {"precision": "32-true"}, "switch": None, "rounding": "nearest"}
    network = Network.model_validate({"class": "SRN", "arguments": {}, "parameters": size})
    return Facts(
        name=name,
        network=network,
        checkpoint=Checkpoint(file="run/checkpoints/step_00000005.ckpt", step=5, sha256="0"),
        dataset="toy",
        protocol="toy",
        split="test",
        blur_folder=blur,
        rounding="uint8, nearest",
        deblurzoo="0.1.0",
        config=config,
    )


def flat(value: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def write_page_with_another_metric(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a page of three networks, two of them measured by a metric for which lower is better."""
    metric = Metric("Error <i>", 3, "levels", False, lambda image, sharp: 0.0)
    monkeypatch.setitem(METRICS, "mae", metric)
    evaluations = [
        evaluation(folder, "without", 31.0),
        evaluation(folder, "worse", 30.5, more={"mae": 4.0}),
        evaluation(folder, "better", 30.0, more={"mae": 3.0}),
    ]
    evaluations[1].results.nothing_to_restore = [f"clip_b/{number}" for number in range(7)]
    write_page(evaluations, [], folder / "page.html", inline_pictures=True)
    return folder / "page.html"
