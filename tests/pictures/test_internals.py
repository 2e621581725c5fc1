from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import TINY_NETS, TINY_RUN, Run
from deblurzoo.metrics.batches import to_uint8
from deblurzoo.nets import SRN, SVRNN, FlowRNN, Liu2016
from deblurzoo.ops import spatial_rnn
from deblurzoo.pictures.internals import (
    feature_picture,
    flow_picture,
    pictures,
    receptive_field,
    receptive_field_picture,
    recurrences,
    weight_picture,
)


def tiny(variant: str = "full") -> SVRNN:
    torch.manual_seed(0)
    return SVRNN(variant, width=0.125)  # type: ignore[arg-type]


def test_every_rnn_is_recorded_whatever_the_network() -> None:
    blur = torch.rand(1, 1, 3, 30, 35)  # not a multiple of the size
    net = tiny()
    calls = recurrences(net, blur)
    assert len(calls) == 4
    assert calls[0].x.shape == (1, 4, 16, 20) and calls[0].w.shape == calls[0].h.shape == (1, 16, 16, 20)
    for call in calls:
        torch.testing.assert_close(spatial_rnn(call.x, call.w), call.h)
        assert call.w.abs().max() < 1
    assert len(recurrences(tiny("no_rnns"), blur)) == 0
    assert len(recurrences(Liu2016(), blur)) == 1 + 4
    assert len(recurrences(SRN(kernel_size=3, blocks=1, width=0.125), blur)) == 0


def test_without_convolutions_the_receptive_field_is_a_cross_else_an_area() -> None:
    blur = torch.rand(1, 1, 3, 32, 32)
    cross, area = (receptive_field(tiny(variant), blur) > 0 for variant in ("no_convs", "full"))
    assert not cross[[0, 0, 15, 15], [0, 15, 0, 15]].any() and cross[8].any() and cross[:, 8].any()
    assert cross.sum() <= 3 * 16 + 3 * 16  # conv20 is 3x3
    assert area.sum() > 200


def test_networks_without_rnns_have_no_receptive_field() -> None:
    for variant in ("no_rnns", "weights_only"):
        with pytest.raises(ValueError, match=f"variant {variant} of SVRNN has no RNNs"):
            receptive_field(tiny(variant), torch.rand(1, 1, 3, 16, 16))


def test_every_rnn_has_its_weights_drawn_once() -> None:
    blur = torch.rand(1, 2, 3, 70, 90)
    for net, expected in (
        (tiny("no_convs"), 4),
        (Liu2016(), 2),
        (FlowRNN("rnn_decoder", width=0.125), 3),
        (FlowRNN("concat_weights", width=0.125), 3),
        (FlowRNN("no_rnns", width=0.125), 0),
    ):
        drawn = pictures(net, blur[:, : net.frames], channels=(0, 1))
        weights = [picture for name, picture in drawn.items() if name.startswith("weights")]
        assert len(weights) == expected
        assert all(picture.shape[1] >= 400 for picture in weights)


def test_colours_say_sign_and_size() -> None:
    w = torch.zeros(1, 8, 5, 100)
    w[0, 0], w[0, 6] = 1, -1  # channel 0 left to right, channel 0 bottom to top
    picture = weight_picture(w, channels=(0, 1, 9))
    assert picture.shape == (18 + 2 * 5, 4 * 100, 3)
    red, white, blue = picture[20, 10], picture[26, 10], picture[20, 3 * 100 + 10]
    assert weight_picture(w, channels=(9,)).shape == (18, 4 * 100, 3)
    assert red[0] > 150 > red[2] and blue[2] > 150 > blue[0] and white.tolist() == [255, 255, 255]


def test_features_have_a_scale_of_their_own() -> None:
    before, after = torch.full((1, 1, 4, 60), 1e-3), torch.full((1, 4, 4, 60), -100.0)
    picture = feature_picture(before, after, channels=(0, 3))
    assert picture.shape == (18 + 4, 120, 3)
    assert picture[20, 5, 0] > picture[20, 5, 2] and picture[20, 100, 0] < picture[20, 100, 2]


def test_nothing_reached_is_black_and_the_centre_bright() -> None:
    field = torch.zeros(9, 9)
    field[4, 4] = 5.0
    picture = receptive_field_picture(field)
    assert picture[0, 0].max() < 10 and picture[4, 4].min() > 100
    assert np.array_equal(receptive_field_picture(torch.zeros(2, 2)), np.zeros((2, 2, 3)) + picture[0, 0])


@pytest.mark.parametrize("size", [(80, 200), (144, 200), (40, 40)])
def test_flow_is_drawn_at_any_size(size: tuple[int, int]) -> None:
    drawn = pictures(FlowRNN(width=0.125), torch.rand(1, 2, 3, *size), channels=(0,))
    assert drawn["flow"].shape == (18 + size[0], 4 * size[1], 3)


def test_flow_is_drawn_beside_what_it_does_to_the_neighbours() -> None:
    blur, flow = torch.rand(1, 3, 3, 70, 90), torch.zeros(1, 4, 32, 32)  # padded to 128x128
    picture = flow_picture(blur, flow)
    assert picture.shape == (18 + 2 * 70, 4 * 90, 3)
    frame, colours, warped, difference = np.split(picture[18:88], 4, axis=1)
    assert np.array_equal(frame, to_uint8(blur[0, 0]).permute(1, 2, 0).numpy())
    assert (colours == 255).all()
    np.testing.assert_allclose(warped, to_uint8(blur[0, 1]).permute(1, 2, 0).numpy().astype(float), atol=1)
    assert difference.any()


@pytest.mark.parametrize(
    ("model", "drawn"),
    [
        ("svrnn", {*(f"weights_{n}.png" for n in (1, 2, 3, 4)), "features.png", "receptive_field.png"}),
        ("flow_rnn", {"weights_1.png", "weights_2.png", "weights_3.png", "flow.png"}),
        ("srn", set()),
    ],
)
def test_training_draws_them(model: str, drawn: set[str], deblurzoo: Run, flow_toy: Path, tmp_path: Path) -> None:
    short = ["trainer.max_steps=1", "trainer.val_check_interval=1", "name=run"]
    done = deblurzoo("train", f"model={model}", *TINY_RUN, *TINY_NETS[model], *short, f"data.root={flow_toy}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "runs" / "run" / "pictures" / "inside").glob("*")} == drawn
