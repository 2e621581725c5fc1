"""Training of SRN-DeblurNet."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from deblurzoo.batch import Batch, Restored
from deblurzoo.nets import SRN
from deblurzoo.training.module import DeblurModule


class SRNDeblur(DeblurModule):
    """Training module of SRN-DeblurNet: losses at every scale, and gradient clipping in the recurrent cell.

    Args:
        net, optimizer, schedule, loss: as in `DeblurModule`.
        clip_lstm_norm: maximum global gradient norm of the recurrent cell's parameters. The paper (section 3.3) clips
            at 3; the authors' code implements clipping but disables it (`is_gradient_clip`). We follow the paper.
    """

    network = SRN
    net: SRN

    def __init__(
        self,
        net: dict[str, Any],
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        clip_lstm_norm: float = 3.0,
        loss: dict[str, float] | None = None,
    ) -> None:
        super().__init__(net, optimizer, schedule, loss)
        self.clip_lstm_norm = float(clip_lstm_norm)

    def losses(self, restored: Restored, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the config at every scale."""
        return self.weighted_losses.at_each_scale(restored.pyramid, batch.sharp, self.net.resize)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients of the recurrent cell. Lightning has already unscaled the gradients."""
        if recurrent := self.net.recurrent_parameters():
            nn.utils.clip_grad_norm_(recurrent, self.clip_lstm_norm)
