"""`deblurzoo import`: the authors' networks from the authors' files."""

import hashlib
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from conftest import Run
from deblurzoo.batch import restored_by
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import NAFNet
from deblurzoo.nets.base import restore_any_size
from deblurzoo.training.checkpoints import load_any
from deblurzoo.weights import import_weights, tensorflow
from deblurzoo.weights.crc32c import crc32c
from deblurzoo.weights.mappings import TARGETS
from parity.weights import FLOW_RNN, SVRNN, TRAINED, Layers, State, caffe, corner, expected, formula, liu2016
from parity.weights import flow_rnn as our_flow_rnn
from parity.weights import svrnn as our_svrnn
from weights import files

SVRNN_LAYERS = (
    "conve1_1 conve1_2 convg1_1 convg1_2 convg2_1 convg2_2 convg3_1 convg3_2 convg3_3 convg4_1 convg4_2 convg4_3 "
    "convgd1 convgd1_2 convgd2 convgd2_2 rnn1 conv_rnn1 rnn2 conv_rnn2 rnn3 conv_rnn3 rnn4 conv_rnn4 convd1_1 convd1_2"
)
FLOW_RNN_LAYERS = (
    "conv1 conv2 conv3 conv3_1 conv4 conv4_1 conv5 conv5_1 conv6 conv6_1 predict_conv6 deconv5 upsample_flow6to5 "
    "predict_conv5 deconv4 upsample_flow5to4 predict_conv4 deconv3 upsample_flow4to3 predict_conv3 deconv2 "
    "upsample_flow3to2 predict_conv2 deconv1 upsample_flow2to1 conv_rnnw4 conv_rnnw3 conv_rnnw2 conv_rnne_1 rnn2 "
    "conv_rnne_2 rnn3 conv_rnne_3 rnn4 conv_rnne_4 conv_rnne_4_1 conv_rnnd_4 conv_rnnd_4_1 conv_rnnd_3 conv_rnnd_3_1 "
    "conv_rnnd_2 conv_rnnd_2_1 conv_rnnd_1"
)
"""Layers in the order of the prototxts; `rnn1` stands for `rnn1_1` to `rnn1_4`, with three unused blobs each."""


def caffe_layers(names: str, layers: Layers, widths: dict[str, int]) -> dict[str, list[files.Array]]:
    """Return the artificial weights of a Caffe network by layer, with the blobs that the network does not use."""
    tensors, blobs = iter(caffe(layers).values()), dict[str, list[files.Array]]()
    for name in names.split():
        if width := widths.get(name):
            unused = [formula(n, (1, 1, size, width), 0.1).numpy() for n, size in enumerate((width, width, 1))]
            blobs |= {f"{name}_{n}": unused for n in (1, 2, 3, 4)}
        else:
            blobs[name] = [next(tensors).numpy(), next(tensors).numpy()]
    assert not list(tensors)
    return blobs


def state_of(out: Path) -> State:
    return load_any(out).state_dict()


def assert_equal(found: State, wanted: State) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    noise = random.Random(0).randbytes(70_000)
    assert all(crc32c(noise[:size]) == files.crc32c(noise[:size]) for size in (*range(4, 200), 4095, 4096, 70_000))


@pytest.mark.parametrize(("name", "channels", "lstm"), [("color", 3, False), ("gray", 1, False), ("lstm", 1, True)])
def test_srn_of_tensorflow(name: str, channels: int, lstm: bool, deblurzoo: Run, tmp_path: Path) -> None:
    tensors = files.srn_tensors(channels, lstm)
    index = files.write_recorded(tmp_path / "released", name, tensors)
    done = deblurzoo("import", "released", "--network", "srn", "--out", "imported")
    assert done.returncode == 0, done.stderr
    assert f"SRN, {len(tensors)} tensors with {sum(t.size for t in tensors.values()):,} parameters" in done.stdout
    image, *scales = expected("srn_input_64x96", *(f"srn_{name}_{scale}" for scale in ("quarter", "half", "full")))
    with torch.no_grad():
        pyramid = restored_by(load_any(tmp_path / "imported").eval(), image[None, None]).pyramid
    for found, authors in zip(pyramid, scales, strict=True):
        torch.testing.assert_close(corner(found[0], authors), authors, rtol=0, atol=1e-4)
    config = json.loads((tmp_path / "imported" / "config.json").read_text())
    assert config["padding"] == "same" and config["resize"] == "tf1"
    read = [index, index.with_suffix(".data-00000-of-00001")]
    assert config["deblurzoo"]["step"] == 523_000
    assert config["deblurzoo"]["origin"] == {
        "format": "TensorFlow checkpoint",
        "files": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in read},
        "layout": None,
        "skipped": 0,
    }


def test_svrnn_of_caffe(deblurzoo: Run, tmp_path: Path) -> None:
    layers = caffe_layers(SVRNN_LAYERS, SVRNN, {f"rnn{n}": 32 for n in (1, 2, 3, 4)})
    files.write_caffe(tmp_path / "svrnn_iter_7.caffemodel", layers)
    done = deblurzoo("import", "svrnn_iter_7.caffemodel", "--network", "svrnn", "--out", "imported")
    assert "44 tensors with 9,227,027 parameters; skipped 48 tensors" in done.stdout, done.stderr
    assert_equal(state_of(tmp_path / "imported"), our_svrnn())
    image, output = expected("svrnn_input", "svrnn_output")
    with torch.no_grad():
        restored = restore_any_size(load_any(tmp_path / "imported").eval(), image[None, None])[0]
    torch.testing.assert_close(corner(restored, output), output, rtol=0, atol=2e-4)
    assert json.loads((tmp_path / "imported" / "config.json").read_text())["deblurzoo"]["step"] == 7


def test_flow_rnn_of_caffe(deblurzoo: Run, tmp_path: Path) -> None:
    files.write_caffe(
        tmp_path / "flow.caffemodel", caffe_layers(FLOW_RNN_LAYERS, FLOW_RNN, {"rnn2": 24, "rnn3": 48, "rnn4": 96})
    )
    done = deblurzoo("import", "flow.caffemodel", "--network", "flow_rnn", "--out", "imported")
    assert "80 tensors with 8,281,696 parameters; skipped 36 tensors" in done.stdout, done.stderr
    assert_equal(state_of(tmp_path / "imported"), our_flow_rnn())
    frames, output = expected("flow_rnn_input_112x128", "flow_rnn_output_112x128")
    with torch.no_grad():
        restored = restore_any_size(load_any(tmp_path / "imported").eval(), frames[None])[0]
    torch.testing.assert_close(corner(restored, output), output, rtol=0, atol=5e-5)


def liu_layers() -> dict[str, list[files.Array]]:
    """Return the published weights of Liu et al. with Caffe's axes."""
    model = loadmat(TRAINED)["Solver"]["model"][0, 0]
    return {
        layer["layer_names"].item(): [blob.reshape(*blob.shape, *(1,) * (4 - blob.ndim)).T for blob in
                                      layer["weights"].flat]
        for layer in model.flat
    }  # fmt: skip


def test_liu2016_of_matlab(deblurzoo: Run, tmp_path: Path) -> None:
    done = deblurzoo("import", TRAINED, "--network", "liu2016", "--out", "imported")
    assert "26 tensors with 147,677 parameters; skipped 24 tensors" in done.stdout, done.stderr
    assert_equal(state_of(tmp_path / "imported"), liu2016())
    image, output = expected("liu2016_input", "liu2016_output")
    with torch.no_grad():
        restored = load_any(tmp_path / "imported").eval()(image[None, None]).image[0]
    torch.testing.assert_close(corner(restored, output), output, rtol=0, atol=1e-4)


@pytest.mark.parametrize("old", [False, True])
def test_caffe_models_of_both_versions(old: bool, tmp_path: Path) -> None:
    file = files.write_caffe(tmp_path / "liu.caffemodel", liu_layers(), old)
    import_weights(file, "liu2016", tmp_path / "imported")
    assert_equal(state_of(tmp_path / "imported"), liu2016())


def test_weights_trained_in_the_order_of_rows(deblurzoo: Run, tmp_path: Path) -> None:
    """In the order of rows, Caffe's axes and directions are those of the image."""
    layers = {name: [blob.swapaxes(2, 3) for blob in blobs] for name, blobs in liu_layers().items()}
    layers["conv9"] = [blob.reshape(4, 16, *blob.shape[1:])[[1, 0, 3, 2]].reshape(blob.shape)
                       for blob in layers["conv9"]]  # fmt: skip
    files.write_caffe(tmp_path / "liu.caffemodel", layers)
    done = deblurzoo("import", "liu.caffemodel", "--network", "liu2016", "--out", "imported", "--layout", "rows")
    assert done.returncode == 0, done.stderr
    assert_equal(state_of(tmp_path / "imported"), liu2016())


def nafnet() -> NAFNet:
    torch.manual_seed(0)
    net = NAFNet(width=4, encoder_blocks=(1, 2), middle_blocks=1, decoder_blocks=(0, 1), tlc=384).eval()
    for name, parameter in net.named_parameters():
        if name.endswith(("beta", "gamma")):  # initially 0, so that blocks have no effect
            torch.nn.init.uniform_(parameter, -1, 1)
    return net


@pytest.mark.parametrize("zipped", [True, False])
def test_nafnet_of_pytorch(zipped: bool, tmp_path: Path) -> None:
    net = nafnet()
    file = files.write_nafnet(tmp_path / "net_g_400.pth", net.state_dict(), zipped)
    import_weights(file, "nafnet", tmp_path / "imported")
    assert_equal(state_of(tmp_path / "imported"), net.state_dict())
    config = json.loads((tmp_path / "imported" / "config.json").read_text())
    assert config | {"deblurzoo": 0} == {"width": 4, "encoder_blocks": [1, 2], "middle_blocks": 1,
                                         "decoder_blocks": [0, 1], "tlc": 384, "deblurzoo": 0}  # fmt: skip
    assert config["deblurzoo"]["step"] == 400


def test_an_import_is_evaluated_restores_starts_runs_and_is_exported(
    deblurzoo: Run, toy: Path, photos: Path, tmp_path: Path
) -> None:
    files.write_nafnet(tmp_path / "net.pth", nafnet().state_dict())
    data = ["data=toy", f"data.root={toy}", "trainer=cpu", "datamodule.workers=0"]
    sizes = ["model.net.width=4", "model.net.encoder_blocks=[1,2]", "model.net.decoder_blocks=[0,1]"]
    init = ["init=imported", "name=tuned", "debug=smoke", "paths.runs=runs", "logger=csv", "datamodule.batch_size=2"]
    for command in (
        ["import", "net.pth", "--network", "nafnet", "--out", "imported"],
        ["evaluate", "checkpoint=imported", *data, "pictures=0"],
        ["compare", "imported"],
        ["deblur", photos / "1.png", "--checkpoint", "imported", "--out", "restored"],
        ["train", "model=nafnet", "recipe=nafnet", *data, *sizes, *init, "datamodule.augmentation.crop=16"],
        ["export", "--checkpoint", "imported", "--out", "again"],
    ):
        done = deblurzoo(*command)
        assert done.returncode == 0, done.stderr
        if command[0] == "compare":
            assert "imported: imported from net.pth (PyTorch file)" in done.stdout
    results = json.loads((tmp_path / "imported" / "evaluate" / "toy_blur" / "results.json").read_text())
    assert (tmp_path / "restored" / "1.png").is_file()
    (trained,) = (tmp_path / "runs" / "tuned" / "checkpoints").glob("step_*.ckpt")
    lineage = torch.load(trained, weights_only=True)["deblurzoo"]["lineage"]
    origin = {"net.pth": hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()}
    assert lineage["origin"]["files"] == results["checkpoint"]["origin"]["files"] == origin
    assert lineage["sha256"] == hashlib.sha256((tmp_path / "imported" / "model.safetensors").read_bytes()).hexdigest()
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "imported" / name).read_bytes()


def test_training_states_of_tensorflow_are_skipped(tmp_path: Path) -> None:
    tensors = files.srn_tensors(3, False)
    states = {f"g_net/dec1_0/biases/{slot}": np.zeros(3, np.float32) for slot in ("Adam", "Adam_1")}
    states |= {"beta1_power": np.float32([0.9]), "beta2_power": np.float32([0.99]), "Variable": np.int32([7])}
    small = {name: tensor for name, tensor in tensors.items() if tensor.size < 5000}
    found = tensorflow.read(files.write_checkpoint(tmp_path / "a.index", {**small, **states}))
    assert found.keys() == {*small, *states}
    assert all(np.array_equal(found[name], tensor) for name, tensor in {**small, **states}.items())
    target = TARGETS["srn"](found, "columns")
    assert [name for name in tensors if re.fullmatch(target.unused, name)] == []
    assert [name for name in states if not re.fullmatch(target.unused, name)] == []


Blobs = dict[str, list[files.Array]]


def _without(layers: Blobs) -> None:
    del layers["conv5"]


def _renamed(layers: Blobs) -> None:
    layers["conv12"] = layers.pop("conv5")


def _extra(layers: Blobs) -> None:
    layers["conv4"].append(np.zeros((1, 1, 1, 32)))


def _wide(layers: Blobs) -> None:
    layers["conv4"][0] = np.zeros((32, 31, 3, 3))


def _infinite(layers: Blobs) -> None:
    layers["conv4"][1] = np.full((1, 1, 1, 32), np.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, r"has no tensor conv5/0, conv5/1\)"),
        (_renamed, r"has no tensor conv5/0, conv5/1\)"),
        (_extra, r"its tensor conv4/2 is not in the network\)"),
        (_wide, r"its tensor conv4/0 is \(32, 31, 3, 3\), and not \(32, 32, 3, 3\) as in the network\)"),
        (_infinite, r"its tensor conv4/1 has values that are not finite numbers of float32\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: Callable[[Blobs], None], message: str, tmp_path: Path) -> None:
    layers = liu_layers()
    change(layers)
    file = files.write_caffe(tmp_path / "liu.caffemodel", layers)
    with pytest.raises(DeblurzooError, match=message):
        import_weights(file, "liu2016", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["liu.caffemodel"]


def test_arguments_that_do_not_fit_have_a_message(deblurzoo: Run, tmp_path: Path) -> None:
    for name in ("a.caffemodel", "b.caffemodel.gz", "two/1.index", "two/2.index", "none/model.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files.write_nafnet(tmp_path / "c.pth", nafnet().state_dict())
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in (
        ("a.caffemodel --network srn", "which cannot contain srn: set --network to svrnn or flow_rnn or liu2016, or "
                                       "give a file .index"),
        ("a.caffemodel --network svrnn", "cannot be imported as svrnn (it has no tensor conve1_1/0"),
        ("b.caffemodel.gz --network svrnn", "has an unknown format: give a file .caffemodel or .mat, and"),
        ("d.pth --network nafnet", "d.pth does not exist"),
        ("two --network srn", "it has 1.index, 2.index: give an .index file"),
        ("none --network srn", "it has none: give an .index file"),
        ("c.pth --network nafnet --layout rows", "--layout=rows has no effect on a PyTorch file"),
        ("c.pth --network nafnet --out two", "two exists already"),
        ("c.pth --network nafnets", "invalid choice: 'nafnets'"),
    ):  # fmt: skip
        done = deblurzoo("import", *arguments.split(), *([] if "--out" in arguments else ["--out", "imported"]))
        assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    index = files.write_checkpoint(tmp_path / "a.index", {"Variable": np.int32([7])})
    index.with_suffix(".data-00000-of-00001").unlink()
    with pytest.raises(DeblurzooError, match=r"No such file or directory: .*a\.data-00000-of-00001\)"):
        import_weights(index, "srn", tmp_path / "out")


Whole = tuple[str, dict[str, bytes], int | None]
"""A network, its files by name, and the number of bytes of the structure at the start, if values have no checksum."""


def tensorflow_files(folder: Path) -> Whole:
    index = files.write_recorded(folder / "released", "gray", files.srn_tensors(1, False))
    parts = (index, index.with_suffix(".data-00000-of-00001"))
    return "srn", {file.name: file.read_bytes() for file in parts}, None


def caffe_files(folder: Path) -> Whole:
    layers = liu_layers()
    content = files.write_caffe(folder / "liu.caffemodel", layers).read_bytes()
    return "liu2016", {"liu.caffemodel": content}, content.index(layers["conv0"][0].tobytes())


def matlab_files(folder: Path) -> Whole:
    content, model = io.BytesIO(), loadmat(TRAINED)["Solver"]["model"][0, 0]
    savemat(content, {"Solver": {"model": model}})
    kernels = model[0, 0]["weights"][0, 0].tobytes("F")
    return "liu2016", {"liu.mat": content.getvalue()}, content.getvalue().index(kernels)


def pytorch_files(folder: Path) -> Whole:
    return "nafnet", {"net.pth": files.write_nafnet(folder / "net.pth", nafnet().state_dict()).read_bytes()}, None


def old_pytorch_files(folder: Path) -> Whole:
    state = nafnet().state_dict()
    content = files.write_nafnet(folder / "net.pth", state, zipped=False).read_bytes()
    kernels = (bytes(tensor.untyped_storage()) for tensor in state.values() if tensor.numel() > 99)
    return "nafnet", {"net.pth": content}, min(map(content.index, kernels))


WHOLE: dict[str, Callable[[Path], Whole]] = {
    "TensorFlow": tensorflow_files,
    "Caffe": caffe_files,
    "MATLAB, compressed": lambda folder: ("liu2016", {"liu.mat": TRAINED.read_bytes()}, None),
    "MATLAB": matlab_files,
    "PyTorch": pytorch_files,
    "PyTorch before version 1.6": old_pytorch_files,
}


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files_have_one_message(kind: str, tmp_path: Path) -> None:
    """Bytes that no reader needs, such as learning rates, may change: then the weights must be equal."""
    network, parts, structure = WHOLE[kind](tmp_path)
    folder, rng = tmp_path / "damaged", random.Random(0)
    folder.mkdir()
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    source = folder / next(iter(parts))
    import_weights(source, network, tmp_path / "whole")
    whole, messages = state_of(tmp_path / "whole"), 0
    for number in range(16):
        name = rng.choice([*parts])
        content = bytearray(parts[name])
        if number % 2:
            del content[rng.randrange(len(content)) :]
        else:
            content[rng.randrange(structure or len(content))] ^= rng.randrange(1, 256)
        (folder / name).write_bytes(content)
        out = tmp_path / f"{number}"
        try:
            import_weights(source, network, out)
        except DeblurzooError as error:
            assert "\n" not in str(error) and "cannot be imported" in str(error)
            assert not out.exists() and sorted(path.name for path in folder.iterdir()) == sorted(parts)
            messages += 1
        else:
            assert_equal(state_of(out), whole)
        (folder / name).write_bytes(parts[name])
    assert messages >= (16 if kind == "TensorFlow" else 12)
