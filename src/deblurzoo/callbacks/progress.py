"""Progress: a bar or lines, and the step in the status of a sweep's job."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deblurzoo.reports.run_folder import record_step

QUIET_SECONDS = 15.0
"""Seconds between two lines of progress if the output is a file or a pipe."""


class StepProgress(ProgressBar):
    """Progress with step, loss, PSNR, samples per second and ETA: a bar on a terminal, otherwise a line every 15 s."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(markup=False, emoji=False)
        self._bar: Progress | None = None
        self._speed = 0.0
        self._last = (0.0, 0)
        self._last_line = 0.0

    def disable(self) -> None:
        """Disable output; Lightning calls this on all processes except the first."""
        self.console.quiet = True

    def _start(self, what: str, total: int, done: int) -> None:
        self._last, self._last_line = (time.monotonic(), done), time.monotonic()
        self._total, self._what = total, what
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=self.console,
                speed_estimate_period=60,
            )
            self._task = self._bar.add_task(what, total=total, completed=done, facts="")
            self._bar.start()

    def _show(self, done: int, facts: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, facts=facts)
        elif time.monotonic() - self._last_line > QUIET_SECONDS or done == self._total:
            self._last_line = time.monotonic()
            self.console.print(f"{self._what} {done}/{self._total} {facts}", highlight=False)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _measure_speed(self, done: int) -> float:
        """Return the smoothed number of steps per second."""
        now = time.monotonic()
        seconds, steps = now - self._last[0], done - self._last[1]
        if steps and seconds > 0:
            speed = steps / seconds
            self._speed = speed if self._speed == 0 else 0.9 * self._speed + 0.1 * speed
            self._last = (now, done)
        return self._speed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the progress bar at the step where training starts or resumes."""
        self._start("training", trainer.max_steps, trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the latest metric values."""
        step = trainer.global_step
        speed = self._measure_speed(step)
        samples = speed * len(batch.clip) * trainer.world_size * trainer.accumulate_grad_batches
        metrics = trainer.callback_metrics
        facts = [f"loss {metrics['train/loss']:.5f}"] if "train/loss" in metrics else []
        facts += [f"PSNR {metrics['train/psnr']:.2f} dB"] if "train/psnr" in metrics else []
        facts += [f"{samples:.1f} samples/s"]
        if self._bar is None and speed:
            facts += [f"ETA {(self._total - step) / speed:.0f} s"]
        self._show(step, "  ".join(facts))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the validation metrics above the bar; exclude validation time from the training speed."""
        metrics = trainer.callback_metrics
        if "val/psnr" in metrics:
            self.console.print(
                f"step {trainer.global_step}: validation PSNR {metrics['val/psnr']:.2f} dB "
                f"({metrics['val/gain']:+.2f} dB over the blurry input), SSIM {metrics['val/ssim']:.4f}",
                highlight=False,
            )
        self._last = (time.monotonic(), trainer.global_step)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the progress bar of an evaluation."""
        self._start("evaluating", sum(int(n) for n in trainer.num_test_batches), 0)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show the number of evaluated images and the speed."""
        done = batch_idx + 1
        speed = self._measure_speed(done)
        eta = f"  ETA {(self._total - done) / speed:.0f} s" if self._bar is None and speed else ""
        self._show(done, f"{speed:.1f} images/s{eta}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the bar, which stays visible."""
        self._stop()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the bar, which stays visible."""
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop the bar before the error message is printed."""
        self._stop()


class StepStatus(pl.Callback):
    """Callback that records step and expected end in `status.json` of a sweep's job, every `QUIET_SECONDS`.

    Args:
        run: the run folder.
    """

    def __init__(self, run: str) -> None:
        self.run = Path(run)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the step at which training starts or resumes."""
        self._start = self._last = time.monotonic()
        self._first = trainer.global_step
        self._record(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the step if the last record is old."""
        if time.monotonic() - self._last > QUIET_SECONDS:
            self._record(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record that training has ended, perhaps early."""
        self._record(trainer, ended=True)

    def _record(self, trainer: pl.Trainer, ended: bool = False) -> None:
        if not trainer.is_global_zero:
            return
        self._last, step = time.monotonic(), trainer.global_step
        last, done = step if ended else trainer.max_steps, step - self._first
        record_step(self.run, step, last, (self._last - self._start) / done * (last - step) if done else None)
