"""Which precision training takes where nobody has said so."""

from pathlib import Path

import pytest

from deblurzoo.precision import training_precision

CPU = Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPU.is_file(), reason="only Linux says what its CPU can do")
def test_a_cpu_trains_in_bfloat16_if_it_multiplies_it_itself() -> None:
    natively = not {"avx512_bf16", "amx_bf16"}.isdisjoint(CPU.read_text().split())
    assert training_precision("cpu") == ("bf16-mixed" if natively else "32-true")
