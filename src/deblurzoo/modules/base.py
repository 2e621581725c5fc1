"""What all three architectures share: training step, validation, optimiser, schedule, whole-picture restoration."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo import __version__
from deblurzoo.batch import Batch, Restored
from deblurzoo.errors import DeblurzooError
from deblurzoo.metrics import image_metrics, psnr, to_uint8
from deblurzoo.restore.padding import restore_any_size
from deblurzoo.schedules import polynomial


class DeblurModule(pl.LightningModule):
    """A network, its losses and its optimisation; subclasses add what their paper does differently.

    Args:
        net: keyword arguments of the network.
        optimizer: keyword arguments of `torch.optim.Adam`, which all three papers use.
        schedule: keyword arguments of `schedules.polynomial`, `steps` and `power` at least.

    All three are plain dicts and are saved in every checkpoint, which rebuilds its own network from them.
    """

    network: ClassVar[type[nn.Module]]

    def __init__(self, net: dict[str, Any], optimizer: dict[str, Any], schedule: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.net = self.network(**net)
        self.optimizer_arguments = optimizer
        self.schedule_arguments = schedule
        self.val_input_metrics = image_metrics("psnr")
        self.watch(())

    @property
    def frames(self) -> int:
        """How many consecutive frames the network reads."""
        return int(self.net.frames)  # type: ignore[arg-type]

    def watch(self, metrics: Sequence[str]) -> None:
        """Measure these in validation besides `psnr` and `ssim`; they are logged as `val/NAME`.

        Raises:
            DeblurzooError: one is unknown.
        """
        self.val_metrics = image_metrics(*dict.fromkeys(("psnr", "ssim", *metrics)))

    def load_pretrained(self) -> None:
        """Load pretrained parts; called before the first step of a run that does not resume. Nothing by default."""

    def losses(self, restored: Restored, batch: Batch) -> dict[str, Tensor]:
        """Return the named loss terms, whose sum is minimised: a plain mean squared error unless overridden."""
        return {"mse": F.mse_loss(restored.image.float(), batch.sharp)}

    def restore(self, blur: Tensor) -> Tensor:
        """Restore (B, T, 3, H, W) of any size: padded to what the network takes, cropped back to (B, 3, H, W)."""
        return restore_any_size(self.net, blur)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of crops and log its terms."""
        restored = self.net(batch.blur)
        terms = self.losses(restored, batch)
        loss = torch.stack(list(terms.values())).sum()
        values = {"loss": loss, **terms, "psnr": psnr(to_uint8(restored.image), to_uint8(batch.sharp)).mean()}
        # Means over all devices, whose shares of the batch are equal: one that diverges stops them all.
        means = self.trainer.strategy.reduce(torch.stack([value.detach().float() for value in values.values()]))
        if not torch.isfinite(means[0]):
            self._refuse(loss, batch)
        size = len(batch.clip)
        self.log_dict({f"train/{name}": mean for name, mean in zip(values, means, strict=True)}, batch_size=size)
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=size)
        return loss

    def _refuse(self, loss: Tensor, batch: Batch) -> None:
        samples = ", ".join(f"{clip}/{frame}" for clip, frame in zip(batch.clip, batch.frame, strict=True))
        raise DeblurzooError(
            f"the loss is {loss.item()} at step {self.trainer.global_step}; the batch was {samples}. "
            "Nothing was saved from this step: resume=auto or, from an earlier state, resume=CHECKPOINT, with a lower "
            "model.optimizer.lr or trainer.precision=32-true"
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Measure whole frames that are blurry; return the restored image for whoever shows pictures."""
        image, blurry = self.restore(batch.blur), batch.blur[:, 0]
        differs = (blurry != batch.sharp).flatten(1).any(1)  # else there is nothing to restore
        self.val_metrics.update(image[differs], batch.sharp[differs])
        self.val_input_metrics.update(blurry[differs], batch.sharp[differs])
        return image

    def on_validation_epoch_end(self) -> None:
        """Log PSNR, SSIM, other metrics watched and the gain over the blurry input, as means over images."""
        before = self.val_input_metrics.compute()["psnr"]
        if before.isnan():
            raise DeblurzooError(
                "there is nothing to restore: in all pairs of the validation the blurry picture equals the sharp one. "
                "Are blur and sharp the same folder?"
            )
        values = {f"val/{name}": value for name, value in self.val_metrics.compute().items()}
        values["val/gain"] = values["val/psnr"] - before
        self.log_dict(values)
        self.val_metrics.reset()
        self.val_input_metrics.reset()

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Restore whole frames for the callback that measures and writes them."""
        return self.restore(batch.blur)

    def configure_optimizers(self) -> Any:
        """Adam with a polynomial schedule per optimiser step."""
        schedule = self.schedule_arguments
        try:
            optimizer = torch.optim.Adam(self.parameters(), **self.optimizer_arguments)
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: polynomial(step, **schedule))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise DeblurzooError(f"model.optimizer or model.schedule is wrong: {error}") from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Let the config rule over what a checkpoint has restored: a new learning rate takes effect on resuming."""
        optimizer, scheduler = self.trainer.optimizers[0], self.trainer.lr_scheduler_configs[0].scheduler
        for group in optimizer.param_groups:
            group.update({"fused": None, **self.optimizer_arguments})
            group["initial_lr"] = group["lr"]
            group["lr"] *= polynomial(scheduler.last_epoch, **self.schedule_arguments)
        optimizer.load_state_dict(optimizer.state_dict())  # a fused Adam wants its step counts on the device
        scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which module and which version of deblurzoo wrote the checkpoint."""
        facts = {"module": type(self).__name__, "version": __version__}
        checkpoint.setdefault("deblurzoo", {}).update(facts)  # callbacks write there too
