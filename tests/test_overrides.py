"""Overrides as a user types them: what Hydra gets of them."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from deblurzoo.errors import DeblurzooError
from deblurzoo.overrides import readable


def test_a_sweep_keeps_its_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert readable(["-m", "data.root=~/a,~/b"]) == ["-m", "data.root=/home/me/a,/home/me/b"]
    assert readable(["data.root=~/a, (b)"]) == ['data.root="/home/me/a, (b)"']
    with pytest.raises(DeblurzooError, match="""type 'ckpt="~/a=b","~/c"'"""):
        readable(["-m", "ckpt=~/a=b,~/c"])
    assert readable(["-m", 'ckpt="~/a=b","~/c"']) == ["-m", 'ckpt="/home/me/a=b","/home/me/c"']


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text("a1/=,()[]{}:;\"'\\ é$#|-\n", min_size=1))
def test_quotes_of_messages_keep_every_character(value: str) -> None:
    try:
        readable([f"ckpt={value}"])
    except DeblurzooError as error:
        _, typed, argument = str(error).partition(" type ")
        if typed and value[0] not in "[{\"'":
            (typed,) = readable(shlex.split(argument.partition(", for a list")[0]))
            assert OverridesParser.create().parse_override(typed).value() == value
