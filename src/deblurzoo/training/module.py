"""What all networks share: training step, validation, optimiser, schedule, whole-picture restoration."""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from deblurzoo.batch import Batch, Restored, restored_by
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.extensions import imported, name_of
from deblurzoo.metrics.batches import image_metrics, to_uint8
from deblurzoo.nets.base import DeblurNet, build_network, restore_any_size
from deblurzoo.training.losses import WeightedLosses, negative_psnr
from deblurzoo.training.schedules import factor
from deblurzoo.version import __version__

ADAM = "torch.optim.Adam"
"""The optimiser of all three papers, and of every checkpoint of version 0.1."""


class RestoringModule(pl.LightningModule):
    """A network as Lightning's trainer has whole images restored."""

    def __init__(self, net: DeblurNet) -> None:
        super().__init__()
        self.net = net

    def restore(self, blur: Tensor) -> Tensor:
        """Restore (B, T, 3, H, W) of any size: padded to what the network takes, cropped back to (B, 3, H, W)."""
        return restore_any_size(self.net, blur)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Restore whole frames for the callback that measures and writes them."""
        return self.restore(batch.blur)


class DeblurModule(RestoringModule):
    """A network, its losses and its optimisation; subclasses add what their paper does differently.

    Args:
        net: keyword arguments of the network. Where the module has none of its own, `_target_` names it: a subclass of
            torch.nn.Module with `frames` (1, 2 or 3), `size_multiple` and `forward`, see `deblurzoo.batch`.
        optimizer: `_target_`, a subclass of torch.optim.Optimizer, and its keyword arguments.
        schedule: keyword arguments of `schedules.factor`.
        loss: names of `losses.LOSSES`, or of a trusted package's, and their weights.

    All are plain dicts and are saved in every checkpoint, which rebuilds its own network from `net`. The rest is a
    record: training always takes it from the config.
    """

    network: ClassVar[type[DeblurNet] | None] = None

    def __init__(
        self,
        net: dict[str, Any],
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        loss: dict[str, float] | None = None,
    ) -> None:
        arguments = {key: value for key, value in net.items() if key != "_target_"}
        super().__init__(build_network(net.get("_target_", self.network), arguments))
        self.save_hyperparameters(logger=False)
        self.optimizer_arguments = {"_target_": ADAM, **(optimizer or {})}
        self.schedule_arguments = schedule or {}
        self.weighted_losses = WeightedLosses(loss or {"mse": 1.0})
        record = {"class" if key == "_target_" else key: value for key, value in self.optimizer_arguments.items()}
        self.hparams.update(net=arguments, optimizer=record, schedule=self.schedule_arguments, loss=loss or {})
        self.val_input_metrics = image_metrics("psnr")
        self.watch(())

    def watch(self, metrics: Sequence[str]) -> None:
        """Measure these in validation besides `psnr` and `ssim`; they are logged as `val/NAME`.

        Raises:
            DeblurzooError: one is unknown.
        """
        self.val_metrics = image_metrics(*dict.fromkeys(("psnr", "ssim", *metrics)))

    def load_pretrained(self) -> None:
        """Load pretrained parts; called before the first step of a run that does not resume. Nothing by default."""

    def losses(self, restored: Restored, batch: Batch) -> dict[str, Tensor]:
        """Return the named loss terms, whose sum is minimised: those of the config unless overridden."""
        return self.weighted_losses(restored.image, batch.sharp)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of crops and log its terms."""
        restored = restored_by(self.net, batch.blur)
        terms = self.losses(restored, batch)
        loss = torch.stack(list(terms.values())).sum()
        values = {"loss": loss, **terms, "psnr": -negative_psnr(to_uint8(restored.image) / 255, batch.sharp)}
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

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser of the config; `on_train_batch_start` sets its learning rate."""
        arguments = dict(self.optimizer_arguments)
        try:
            self._factor(0)
            kind = imported(arguments.pop("_target_"), Optimizer)
            optimizer = kind(self.parameters(), **arguments)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise DeblurzooError(f"model.optimizer or model.schedule is wrong: {first_line(error)}") from error
        settings = inspect.signature(kind).parameters
        # What else a group holds is state.
        self._settings = [{key: group[key] for key in settings if key in group} for group in optimizer.param_groups]
        return optimizer

    def _factor(self, step: int) -> float:
        return factor(step, **{"name": "polynomial", **self.schedule_arguments})

    def on_train_start(self) -> None:
        """Let the config rule over the settings that a checkpoint has restored."""
        optimizer: Optimizer = self.trainer.optimizers[0]
        for group, settings in zip(optimizer.param_groups, self._settings, strict=True):
            group.update({key: value for key, value in settings.items() if key != "params"})
        optimizer.load_state_dict(optimizer.state_dict())  # a fused Adam wants its step counts on the device

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate of the coming step."""
        for group, settings in zip(self.trainer.optimizers[0].param_groups, self._settings, strict=True):
            group["lr"] = settings["lr"] * self._factor(self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which module and which version of deblurzoo wrote the checkpoint."""
        facts = {"module": name_of(type(self)), "network": name_of(type(self.net)), "version": __version__}
        checkpoint.setdefault("deblurzoo", {}).update(facts)  # callbacks write there too
