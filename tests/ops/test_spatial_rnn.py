import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import deblurzoo
from deblurzoo.ops.spatial_rnn import VARIABLE, _fastest, _load, _spatial_rnn, reference, spatial_rnn

ON_CPU = ("numba", "rows")
SHAPES = [
    *[(1, 1, 1, 1), (2, 3, 1, 9), (2, 3, 9, 1), (3, 2, 7, 13), (1, 5, 31, 17), (2, 2, 6, 8), (0, 3, 4, 5)],
    (1, 1, 360, 640),
]


def maps(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    b, c, h, w = shape
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    weights = torch.tanh(2 * torch.randn(b, 4 * c, h, w, generator=generator, dtype=torch.float64)).to(dtype)
    return x.requires_grad_(), weights.requires_grad_()


def result_and_gradients(operator: object, x: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    h = operator(x, w)  # type: ignore[operator]
    return (h, *torch.autograd.grad(h, (x, w), g.to(h.dtype)))


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("shape", SHAPES)
def test_backends_agree_with_the_reference(backend: str, shape: tuple[int, int, int, int]) -> None:
    x, w = maps(shape)
    g = torch.randn(w.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = result_and_gradients(reference.forward, x, w, g)
    actual = result_and_gradients(lambda a, b: spatial_rnn(a, b, backend), x, w, g)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ON_CPU)
def test_float32_errors_stay_below_1e_5_at_full_size(backend: str) -> None:
    x, w = maps((1, 2, 360, 640))
    g = torch.randn(w.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = result_and_gradients(lambda a, b: spatial_rnn(a, b, "rows"), x, w, g)
    single = result_and_gradients(
        lambda a, b: spatial_rnn(a, b, backend),
        x.detach().float().requires_grad_(),
        w.detach().float().requires_grad_(),
        g.float(),
    )
    rounded = result_and_gradients(
        lambda a, b: spatial_rnn(a, b, "rows"),
        x.detach().float().double().requires_grad_(),
        w.detach().float().double().requires_grad_(),
        g.float().double(),
    )
    for s, r, e in zip(single, rounded, exact, strict=True):
        assert (s - r).abs().max() < 2e-5 * max(1.0, e.abs().max().item())


@pytest.mark.parametrize("backend", ON_CPU)
def test_gradcheck(backend: str) -> None:
    x, w = maps((2, 2, 3, 4))
    assert torch.autograd.gradcheck(lambda a, b: spatial_rnn(a, b, backend), (x, w))


def test_the_recurrence_by_hand() -> None:
    x = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 1, 1, 3)
    w = torch.zeros(1, 4, 1, 3)
    w[0, 0, 0] = torch.tensor([0.5, -0.5, 0.25])
    w[0, 1, 0] = torch.tensor([0.5, 0.5, 0.5])
    h = spatial_rnn(x, w)
    torch.testing.assert_close(h[0, 0, 0], torch.tensor([0.5, 2.75, 3.6875]))
    torch.testing.assert_close(h[0, 1, 0], torch.tensor([1.5, 2.0, 2.0]))
    torch.testing.assert_close(h[0, 2:], torch.stack([x[0, 0], x[0, 0]]))


@pytest.mark.parametrize("backend", ON_CPU)
def test_weights_0_and_1_and_long_lines(backend: str) -> None:
    x, _ = maps((1, 2, 5, 640))
    zeros, ones = torch.zeros(1, 8, 5, 640).double(), torch.ones(1, 8, 5, 640).double()
    torch.testing.assert_close(spatial_rnn(x, zeros, backend), torch.cat([x] * 4, dim=1))
    assert not spatial_rnn(x, ones, backend).any()
    assert spatial_rnn(x, 0.9999 * ones, backend).abs().max() <= x.abs().max()  # an average of x and 0
    assert torch.isfinite(spatial_rnn(x, -0.9999 * ones, backend)).all()


@pytest.mark.parametrize("backend", ON_CPU)
def test_flips_and_transposes_exchange_directions(backend: str) -> None:
    x, w = (m.detach() for m in maps((2, 3, 6, 11)))
    lr, rl, tb, bt = w.chunk(4, dim=1)
    h = spatial_rnn(x, w, backend).chunk(4, dim=1)
    mirrored = spatial_rnn(x.flip(3), torch.cat([rl, lr, tb, bt], dim=1).flip(3), backend).flip(3).chunk(4, dim=1)
    turned = spatial_rnn(x.mT, torch.cat([tb, bt, lr, rl], dim=1).mT, backend).mT.chunk(4, dim=1)
    for i, (m, t) in enumerate(((1, 2), (0, 3), (2, 0), (3, 1))):
        torch.testing.assert_close(h[i], mirrored[m])
        torch.testing.assert_close(h[i], turned[t])


@pytest.mark.parametrize("backend", ON_CPU)
def test_strided_maps_and_gradients(backend: str) -> None:
    x, _ = maps((2, 3, 6, 8))
    _, wide = maps((2, 9, 6, 8))
    g = torch.randn(2, 6, 8, 12).double().permute(0, 3, 1, 2)
    for inputs in ((x, wide.chunk(3, dim=1)[1]), (x.to(memory_format=torch.channels_last), wide.chunk(3, dim=1)[2])):
        expected = result_and_gradients(reference.forward, *inputs, g)
        actual = result_and_gradients(lambda a, b: spatial_rnn(a, b, backend), *inputs, g)
        for a, e in zip(actual, expected, strict=True):
            torch.testing.assert_close(a, e)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_maps_are_accumulated_in_float32(backend: str, dtype: torch.dtype) -> None:
    x, w = (m.detach() for m in maps((1, 2, 40, 50), dtype))
    expected = spatial_rnn(x.float(), w.float(), backend).to(dtype)
    actual = spatial_rnn(x, w, backend)
    assert actual.dtype == dtype
    assert torch.equal(actual, expected)


def test_autocast_stays_in_float32() -> None:
    x, w = (m.detach() for m in maps((1, 2, 5, 6), torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        assert spatial_rnn(x, w).dtype == torch.float32


def test_custom_op_is_well_formed() -> None:
    x, w = maps((1, 2, 4, 5), torch.float32)
    torch.library.opcheck(_spatial_rnn, (x, w, "rows"))


def test_compiles_without_a_graph_break() -> None:
    x, w = maps((1, 2, 4, 5), torch.float32)
    compiled = torch.compile(lambda a, b: spatial_rnn(2 * a, b).sum(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, w), spatial_rnn(2 * x, w).sum())


class Doubled(torch.nn.Module):
    """A network around the operator."""

    def __init__(self, backend: str | None = None) -> None:
        super().__init__()
        self.backend = backend

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return spatial_rnn(2 * x, w, self.backend)


SIZES = {2: torch.export.Dim("height", min=2, max=4096), 3: torch.export.Dim("width", min=2, max=4096)}


@pytest.mark.parametrize("backend", [None, "scan"])
def test_torch_export_keeps_the_sizes_free(backend: str | None) -> None:
    x, w = (m.detach() for m in maps((1, 2, 4, 5), torch.float32))
    program = torch.export.export(Doubled(backend), (x, w), dynamic_shapes=(SIZES, SIZES))
    ours = [str(node.target) for node in program.graph.nodes if "deblurzoo" in str(node.target)]
    assert bool(ours) == (backend is None)
    other = [m.detach() for m in maps((1, 2, 7, 3), torch.float32)]
    torch.testing.assert_close(program.module()(*other), reference.forward(2 * other[0], other[1]))


@pytest.mark.filterwarnings("ignore")
def test_onnx_export_keeps_the_sizes_free(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    x, w = (m.detach() for m in maps((1, 2, 4, 5), torch.float32))
    torch.onnx.export(Doubled(), (x, w), tmp_path / "rnn.onnx", dynamic_shapes=(SIZES, SIZES), dynamo=True)
    session = onnxruntime.InferenceSession(tmp_path / "rnn.onnx")
    for height, width in ((4, 5), (11, 6)):
        x, w = (m.detach() for m in maps((1, 2, height, width), torch.float32))
        (h,) = session.run(None, {node.name: m.numpy() for node, m in zip(session.get_inputs(), (x, w), strict=True)})
        torch.testing.assert_close(torch.from_numpy(h), reference.forward(2 * x, w))


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (1, 1, 3, 3), (2, 3, 1, 4)])
def test_the_scan_path_takes_any_shape_and_layout(shape: tuple[int, int, int, int]) -> None:
    x, w = (m.detach() for m in maps(shape))
    torch.testing.assert_close(spatial_rnn(x, w, "scan"), reference.forward(x, w))
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(spatial_rnn(last, w, "scan"), reference.forward(x, w))


def test_forward_mode_is_refused() -> None:
    x, w = (m.detach() for m in maps((1, 1, 3, 3)))
    with pytest.raises(RuntimeError, match="no forward-mode derivative"):
        torch.func.jvp(lambda a: spatial_rnn(a, w), (x,), (torch.ones_like(x),))


FORKED = """
import os, torch
from deblurzoo.ops import spatial_rnn
x, w = torch.rand(1, 2, 20, 20), torch.rand(1, 8, 20, 20)
expected = spatial_rnn(x, w)
if child := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    torch.set_num_threads(1)
    os._exit(0 if torch.allclose(spatial_rnn(x, w), expected) else 3)
"""


@pytest.mark.processes
def test_a_forked_process_takes_rows() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "0", done.stderr
    assert "do not survive a fork" in done.stderr


COUNTED = """
import torch
from deblurzoo.ops import spatial_rnn
spatial_rnn(torch.rand(1, 2, 20, 20), torch.rand(1, 8, 20, 20), "numba")
print(torch.get_num_threads())
"""


@pytest.mark.processes
def test_the_number_of_threads_of_torch_is_unchanged() -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "1", done.stderr


def test_double_backward_is_refused() -> None:
    x, w = maps((1, 1, 3, 3))
    (gx,) = torch.autograd.grad(spatial_rnn(x, w).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="spatial_rnn cannot be differentiated twice"):
        gx.sum().backward()


def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = maps((1, 2, 3, 4))
    with pytest.raises(ValueError, match=r"w must be \(B, 4C, H, W\)"):
        spatial_rnn(x, x)
    with pytest.raises(ValueError, match="share a floating dtype"):
        spatial_rnn(x, w.float())
    with pytest.raises(ValueError, match="no backend 'cudnn': choose one of triton, numba, rows"):
        spatial_rnn(x, w, "cudnn")
    monkeypatch.setenv(VARIABLE, "tpu")
    with pytest.raises(ValueError, match="no backend 'tpu'"):
        spatial_rnn(x, w)


def test_triton_needs_a_gpu_or_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="requires a GPU, but the maps are on cpu: use numba or rows"):
        spatial_rnn(*maps((1, 2, 3, 4)), "triton")


@pytest.mark.parametrize(("device", "missing"), [("cpu", "numba"), ("cuda", "triton")])
def test_a_missing_fastest_backend_is_said(
    device: str, missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(
        sys.modules, f"deblurzoo.ops.spatial_rnn.{missing}_{device if device == 'cpu' else 'gpu'}", False
    )
    _fastest.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert _fastest(device, os.getpid()) == "rows"
    _fastest.cache_clear()
    assert f"because {missing} cannot be used" in caplog.text and "pip install" in caplog.text


@pytest.mark.parametrize(("missing", "module"), [("numba", "numba_cpu"), ("triton", "triton_gpu")])
def test_a_forced_backend_that_is_missing_is_refused(
    missing: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"deblurzoo.ops.spatial_rnn.{module}", raising=False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    _load.cache_clear()
    with pytest.raises(ImportError, match=f"the {missing} backend of spatial_rnn is not installed.*: pip install"):
        spatial_rnn(*maps((1, 2, 3, 4)), missing)


@pytest.mark.processes
def test_the_choice_is_logged_once() -> None:
    code = (
        "import logging, torch; logging.basicConfig(level='INFO');"
        "from deblurzoo.ops import spatial_rnn as f;"
        "x, w = torch.ones(1, 1, 2, 2), torch.zeros(1, 4, 2, 2); f(x, w); f(x, w)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("spatial_rnn runs on backend numba") == 1


@pytest.mark.processes
def test_numba_needs_no_cache(tmp_path: Path) -> None:
    """As in a read-only installation without a home folder."""
    package = Path(deblurzoo.__file__).parent
    shutil.copytree(package, tmp_path / "deblurzoo", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "deblurzoo/ops/spatial_rnn/__pycache__").write_text("not a folder")
    code = (
        "import logging, torch; logging.basicConfig(level='INFO');"
        "from deblurzoo.ops import spatial_rnn as f;"
        "x, w = torch.ones(1, 1, 2, 2), torch.zeros(1, 4, 2, 2); print(f(x, w).sum().item())"
    )
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache", "PYTHONPATH": str(tmp_path)}
    without = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")} | nowhere
    done = subprocess.run([sys.executable, "-c", code], env=without, capture_output=True, text=True, check=True)
    assert "spatial_rnn runs on backend numba" in done.stderr and done.stdout == "16.0\n"


PEAK = """
import torch
from pathlib import Path
from deblurzoo.ops import spatial_rnn

def high_water_mark():
    return [int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line][0]

for shape in ((1, 2, 4, 4), (1, 8, 360, 640)):  # the first one compiles
    x, w = torch.rand(shape).requires_grad_(), torch.rand(shape[0], 4 * shape[1], *shape[2:]).requires_grad_()
    g = torch.rand(w.shape)
    h = spatial_rnn(x, w, "{backend}")
    Path("/proc/self/clear_refs").write_text("5")
    before = high_water_mark()
    gradients = torch.autograd.grad(h, (x, w), g)
print(1024 * (high_water_mark() - before) / x.nbytes)
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("backend", ON_CPU)
def test_backward_adds_at_most_12_maps_to_the_peak(backend: str) -> None:
    command = [sys.executable, "-c", PEAK.replace("{backend}", backend)]
    alone = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed maps are returned to the system at once
    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=True)
    assert 5 <= float(done.stdout) <= 12  # the gradients are 5 maps


@pytest.mark.parametrize("backend", ON_CPU)
def test_backward_keeps_no_more_than_x_w_and_h(backend: str) -> None:
    x, w = maps((1, 2, 8, 8))
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
        spatial_rnn(x, w, backend)
    assert sum(t.numel() for t in saved) == 9 * x.numel()
