import subprocess
import sys

import pytest

CODE = """
import resource, sys
from deblurzoo.allocator import keep_memory
print(keep_memory())
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16_000_000)  # 64 MB: by default, glibc requests each block above 32 MB from the system
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""


def run(code: str, switch: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"DEBLURZOO_KEEP_MEMORY": switch, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_blocks_are_used_again() -> None:
    kept, kept_faults = run(CODE, "1")
    given_back, faults = run(CODE, "0")
    assert (kept, given_back) == ("True", "False")
    assert int(kept_faults) < 1000 < int(faults)  # 64 MB are 15,625 pages


@pytest.mark.processes
def test_nothing_is_set_after_torch() -> None:
    assert run("import torch; from deblurzoo.allocator import keep_memory; print(keep_memory())", "1") == ["False"]
