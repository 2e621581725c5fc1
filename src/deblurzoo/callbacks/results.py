"""The results of an evaluation: per image and as means, with all that is needed to judge them."""

import json
import math
import shutil
import time
from collections import Counter
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytorch_lightning as pl
import torch

from deblurzoo.batch import Batch
from deblurzoo.callbacks.pictures import side_by_side
from deblurzoo.data.images import write_png
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import write_atomically
from deblurzoo.metrics import FUNCTIONS, to_uint8

Row = dict[str, Any]


class ResultsWriter(pl.Callback):
    """Measures every restored frame and its blurry input, writes the PNGs and, at the end, `results.json`.

    Args:
        out: folder for `results.json`, `restored/CLIP/FRAME.png` and `side_by_side/CLIP_FRAME.png`; they
            replace those of an earlier evaluation when all frames have been measured.
        facts: what is known before: network, checkpoint, data set, config; copied into `results.json`.
        frames: how many frames must have been measured for the result to be valid.
        pictures: how many evenly spaced blurry | restored | sharp strips are written.
    """

    def __init__(self, out: Path, facts: dict[str, Any], frames: int, pictures: int) -> None:
        self.finished, self.facts, self.frames = out, facts, frames
        self.out = out.with_name(f".{out.name}.unfinished")
        shutil.rmtree(self.out, ignore_errors=True)
        self.picture_step = max(1, frames // pictures) if pictures else frames + 1
        self.rows: list[Row] = []
        self.results: dict[str, Any] = {}

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start the clock of one frame."""
        _finish_device_work()
        self._start = time.perf_counter()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure and write one frame (1, 3, H, W)."""
        _finish_device_work()
        milliseconds = 1000 * (time.perf_counter() - self._start)
        clip, frame = batch.clip[0], batch.frame[0]
        blurry, restored, sharp = (to_uint8(image) for image in (batch.blur[:, 0], outputs, batch.sharp))
        self.rows.append(
            {
                "clip": clip,
                "frame": frame,
                "height": restored.shape[-2],
                "width": restored.shape[-1],
                "ms": milliseconds,
                "restored": {name: function(restored, sharp).item() for name, function in FUNCTIONS.items()},
                "blurry": {name: function(blurry, sharp).item() for name, function in FUNCTIONS.items()},
            }
        )
        if not all(math.isfinite(value) for kind in ("restored", "blurry") for value in self.rows[-1][kind].values()):
            raise DeblurzooError(
                f"{clip}/{frame} has no finite PSNR or SSIM: it equals its sharp picture (are blur and sharp the same "
                "folder?) or is smaller than 11 pixels"
            )
        write_png(self.out / "restored" / clip / f"{frame}.png", restored[0].permute(1, 2, 0).cpu().numpy())
        if batch_idx % self.picture_step == 0:
            strip = side_by_side(batch.blur[0, 0], outputs[0], batch.sharp[0])
            write_png(self.out / "side_by_side" / f"{clip}_{frame}.png", strip)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the results if every frame was measured exactly once."""
        counts = Counter((row["clip"], row["frame"]) for row in self.rows)
        if len(counts) != self.frames or max(counts.values()) != 1:
            raise DeblurzooError(f"{len(self.rows)} frames were measured instead of {self.frames}: evaluate anew")
        self.results = {**self.facts, **summarise(self.rows), "images": self.rows}
        write_atomically(self.out / "results.json", json.dumps(self.results, indent=1, allow_nan=False).encode())
        self._replace_finished()

    def _replace_finished(self) -> None:
        """Put our own files in the place of an earlier evaluation's, results last; touch nothing else there."""
        self.finished.mkdir(parents=True, exist_ok=True)
        (self.finished / "results.json").unlink(missing_ok=True)
        for name in ("restored", "side_by_side", "results.json"):
            if (self.out / name).exists():
                shutil.rmtree(self.finished / name, ignore_errors=True)
                (self.out / name).rename(self.finished / name)
        self.out.rmdir()


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Return the means over images, the gain in dB, the median time and the resolutions."""

    def means(kind: str) -> dict[str, float]:
        return {name: fmean(row[kind][name] for row in rows) for name in FUNCTIONS}

    restored, blurry = means("restored"), means("blurry")
    return {
        "frames": len(rows),
        "resolution": sorted({f"{row['width']}x{row['height']}" for row in rows}),
        "restored": restored,
        "blurry": blurry,
        "gain_db": restored["psnr"] - blurry["psnr"],
        "ms_per_image": median(row["ms"] for row in rows),
    }


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
