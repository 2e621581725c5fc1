import subprocess
import sys

import pytest

FAULTS = """
import resource
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16_000_000)  # 64 MB: by default, glibc requests each block above 32 MB from the system
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""
FIRST, LAST = "import deblurzoo, torch", "import torch, deblurzoo"


def run(code: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={"PATH": "", **environment}, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize("imports", [FIRST, LAST])
def test_freed_blocks_are_used_again_in_python(imports: str) -> None:
    (kept,) = run(imports + FAULTS)
    (returned,) = run(imports + FAULTS, DEBLURZOO_KEEP_MEMORY="0")
    assert int(kept) < 1000 < int(returned)  # 64 MB are 15,625 pages
