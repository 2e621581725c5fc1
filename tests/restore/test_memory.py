import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from deblurzoo import load
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import NAFNet
from deblurzoo.nets.base import restore_any_size
from deblurzoo.restore.memory import Need, free, measure, parse_bytes, used


def test_sizes_of_memory() -> None:
    assert [parse_bytes(t) for t in ("2GB", "1.5 GiB", "800mb", "4096", "2g")] == [
        2 * 10**9,
        3 * 2**29,
        8 * 10**8,
        4096,
        2 * 10**9,
    ]
    for wrong in ("", "GB", "-1GB", "0GB", "2TB", "two"):
        with pytest.raises(DeblurzooError, match="is not a memory size: use a size such as 2GB"):
            parse_bytes(wrong)


def test_tiles_shrink_with_the_memory_until_none_fit(identity: Path) -> None:
    restorer = load(identity, "cpu", memory=parse_bytes("3GB"))
    assert restorer._need is not None and restorer._need.per_pixel > 24  # bytes of a frame and its result in float32
    counts = []
    for beyond in (100.0, 2.0, 0.7):
        restorer.memory = restorer._need.base + int(beyond * 1e9)
        counts.append(restorer.grid(4000, 6000).total)
    assert counts[0] == 1 and 1 < counts[1] < counts[2]
    restorer.memory = parse_bytes("100MB")
    with pytest.raises(
        DeblurzooError, match=r"an image of 6000x4000 needs about \d.\d GB, but the .* limit is 0.100 GB"
    ):
        restorer.grid(4000, 6000)
    assert restorer.grid(300, 300).total == 1


def test_the_default_limit_suits_small_machines_unless_an_image_needs_more(identity: Path) -> None:
    restorer = load(identity, "cpu")
    if free(restorer.device) < 10**10:
        pytest.skip("needs 10 GB of free memory")
    base = used(restorer.device)
    restorer._need = Need(base, 2000.0)
    assert restorer.grid(900, 1000).total == 1  # 1.8 GB
    assert restorer.grid(1100, 1000).total > 1  # 2.2 GB
    restorer._need = Need(base, 10_000.0)
    assert restorer.grid(900, 1000).total > 1  # the smallest tiles need 2.9 GB


def test_the_memory_of_local_statistics_is_measured() -> None:
    used = set()

    def run(blur: Tensor) -> None:
        with torch.inference_mode():
            restore_any_size(net, blur)

    net = NAFNet(2, (1,), 0, (1,), tlc=384).eval()
    pool = net.encoders[0][0].sca[0]  # type: ignore[index]
    pool.register_forward_hook(lambda _, __, pooled: used.add(tuple(pooled.shape[-2:])))
    measure(run, frames=1, device=torch.device("cpu"))
    assert used == {(1, 1), (64, 1152)}


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss")
def test_the_process_stays_within_its_memory(identity: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (130, 120, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((1800, 1950), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg")
    arguments = ["deblur", "large.jpg", "--checkpoint", str(identity), "--out", "out", "--memory", "900MB"]
    # A process inherits the peak of its parent; this intermediate process has a small peak.
    between = (
        "import resource, subprocess, sys; print(subprocess.run(sys.argv[1:], check=True, capture_output=True).stdout);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", between, sys.executable, "-m", "deblurzoo", *arguments, "--device", "cpu"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and " tiles" in done.stdout, done.stderr
    assert int(done.stdout.split()[-1]) * 1024 < 900e6
    restored = np.asarray(Image.open(tmp_path / "out" / "large.jpg")).astype(int)
    assert np.abs(restored - np.asarray(Image.open(tmp_path / "large.jpg"))).mean() < 1
