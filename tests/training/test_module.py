from typing import Any

import pytest
import torch
from torch import Tensor

from deblurzoo.batch import Batch
from deblurzoo.errors import DeblurzooError
from deblurzoo.metrics import Image, image_psnr
from deblurzoo.metrics.batches import to_uint8
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.srn import SRNDeblur


def module(**arguments: Any) -> SRNDeblur:
    torch.manual_seed(0)
    return SRNDeblur(
        net={"kernel_size": 3, "blocks": 1, "width": 0.125},
        optimizer={"lr": 1e-3},
        schedule={"steps": 10, "power": 0.3},
        **arguments,
    )


def batch(size: int = 32) -> Batch:
    return Batch(torch.rand(2, 1, 3, size, size), torch.rand(2, 3, size, size), ["a", "a"], ["1", "2"])


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (40, 33)])
def test_restore_takes_any_size_from_16_on(size: tuple[int, int]) -> None:
    assert module().restore(torch.rand(1, 1, 3, *size)).shape == (1, 3, *size)


def test_only_the_lstms_gradients_are_clipped() -> None:
    srn = module(clip_lstm_norm=1e-3)
    data = batch()
    sum(term.value for term in srn.losses(srn.net(data.blur), data).values()).backward()  # type: ignore[union-attr]
    others = {n: p.grad.clone() for n, p in srn.net.named_parameters() if not n.startswith("at_scale.0.bottleneck")}
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in srn.net.at_scale[0].bottleneck.parameters()]))
    assert norm > 1e-3
    srn.on_before_optimizer_step(None)  # type: ignore[arg-type]
    clipped = torch.linalg.vector_norm(
        torch.cat([p.grad.flatten() for p in srn.net.at_scale[0].bottleneck.parameters()])
    )
    torch.testing.assert_close(clipped, torch.tensor(1e-3), rtol=1e-3, atol=0)
    assert all(torch.equal(p.grad, others[n]) for n, p in srn.net.named_parameters() if n in others)


def test_hyper_parameters_are_plain_and_complete() -> None:
    hparams = dict(module(clip_lstm_norm=2.0).hparams)
    assert set(hparams) == {"net", "optimizer", "schedule", "loss", "clip_lstm_norm", "luminance"}
    assert all(type(value) in (dict, float, bool) for value in hparams.values())


def test_a_network_without_losses_of_its_own_has_a_plain_squared_error() -> None:
    class Plain(DeblurModule):
        network = SRNDeblur.network

    plain = Plain(net={"kernel_size": 3, "blocks": 1, "width": 0.125}, optimizer={}, schedule={})
    data = batch()
    restored = plain.net(data.blur)
    torch.testing.assert_close(plain.losses(restored, data)["mse"].value, ((restored.image - data.sharp) ** 2).mean())


def test_validation_leaves_out_pairs_with_nothing_to_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    srn, data = module().eval(), batch()
    srn.watch(["mssim", "psnr"])
    assert set(srn.val_metrics) == {"psnr", "ssim", "mssim"}
    srn.watch([])
    equal = data._replace(sharp=torch.stack([data.sharp[0], data.blur[1, 0]]))
    expected = image_psnr(*(_picture(image) for image in (srn.restore(data.blur)[0], data.sharp[0])))
    logged: dict[str, Tensor] = {}
    monkeypatch.setattr(srn, "log_dict", logged.update)
    for one in (equal, _only(equal, 1)):
        srn.validation_step(one, 0)
    srn.on_validation_epoch_end()
    assert logged["val/psnr"].item() == pytest.approx(expected, rel=1e-6)
    before = image_psnr(_picture(data.blur[0, 0]), _picture(data.sharp[0]))
    assert logged["val/gain"].item() == pytest.approx(expected - before, abs=1e-4)
    srn.validation_step(_only(equal, 1), 0)
    with pytest.raises(DeblurzooError, match="in all validation pairs, the blurry and the sharp image are identical"):
        srn.on_validation_epoch_end()


def _only(data: Batch, index: int) -> Batch:
    return data._replace(blur=data.blur[index : index + 1], sharp=data.sharp[index : index + 1])


def _picture(image: Tensor) -> Image:
    picture: Image = to_uint8(image).permute(1, 2, 0).contiguous().numpy()
    return picture


def test_training_moves_every_parameter() -> None:
    srn, data = module(), batch()
    optimizer = srn.configure_optimizers()
    before = [p.detach().clone() for p in srn.net.parameters()]
    for _ in range(2):
        optimizer.zero_grad()
        sum(term.value for term in srn.losses(srn.net(data.blur), data).values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, srn.net.parameters(), strict=True))


def test_networks_with_one_channel_are_trained_on_luminance(monkeypatch: pytest.MonkeyPatch) -> None:
    net = {"kernel_size": 3, "blocks": 1, "width": 0.125, "channels": 1}
    srn, data = SRNDeblur(net, luminance=True), batch()
    seen: list[Batch] = []
    monkeypatch.setattr(DeblurModule, "training_step", lambda self, batch, batch_idx: seen.append(batch))
    srn.training_step(data, 0)
    weights = torch.tensor([0.2989, 0.5870, 0.1140])
    torch.testing.assert_close(seen[0].blur, torch.einsum("btchw,c->bthw", data.blur, weights)[:, :, None])
    torch.testing.assert_close(seen[0].sharp, torch.einsum("bchw,c->bhw", data.sharp, weights)[:, None])
    assert srn.losses(srn.net(seen[0].blur), seen[0])["mse_1_1"].value > 0
    with pytest.raises(DeblurzooError, match=r"model\.luminance=true requires a network with one channel"):
        SRNDeblur({**net, "channels": 3}, luminance=True)
