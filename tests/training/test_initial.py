"""Initial weights from networks whose arguments differ from the config's."""

from pathlib import Path

import pytest

from deblurzoo.export.safetensors import write_export
from deblurzoo.nets import SVRNN
from deblurzoo.training.initial import initialise
from deblurzoo.training.svrnn import SVRNNDeblur


def test_arguments_that_change_no_shape_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    facts = {"deblurzoo": {"module": "svrnn", "blur_folder": "blur"}, "global_step": 7}
    authors = {"width": 0.125, "resize": "caffe"}
    write_export(tmp_path, SVRNN(width=0.125, resize="caffe"), {**facts, "hyper_parameters": {"net": authors}})
    initialise(SVRNNDeblur(authors), tmp_path, partial=False)
    assert caplog.messages == []
    for partial in (False, True):
        assert initialise(SVRNNDeblur({"width": 0.125}), tmp_path, partial).missing == []
        assert "(resize: caffe in the checkpoint, half_pixel in the config)" in caplog.messages.pop()
        caplog.clear()
