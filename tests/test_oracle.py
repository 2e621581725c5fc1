"""Checks and messages of the oracle; its measurement takes a minute and is run by hand (CONTRIBUTING)."""

import subprocess
import sys
from pathlib import Path

import pytest

from oracle import differing

ORACLE = Path(__file__).with_name("oracle.py")


def refused(*arguments: object) -> str:
    """Return the message of a call that must fail before it measures anything."""
    done = subprocess.run([sys.executable, ORACLE, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not done.stdout and done.stderr.startswith("error: "), done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}, "sha256": {"toy data": 1}}', "\udcff"])
def test_a_file_that_is_no_record_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    assert f"{file} is not a record" in refused("check", file)


def test_a_missing_record_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    assert f"No such file or directory): run `python tests/oracle.py record {file}`" in refused("check", file)


def test_a_record_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    file.write_text("of the code before")
    assert f"{file} exists already" in refused("record", file)
    assert file.read_text() == "of the code before"
    assert "or its folder does not" in refused("record", tmp_path / "nowhere" / "before.json")


def test_what_differs_is_named_in_the_order_of_its_making() -> None:
    recorded = {"gone": "0", "last": "1", "same": "2", "first": "3"}
    found = {"first": "4", "same": "2", "new": "5", "last": "6"}
    assert differing(recorded, found) == ["first", "new", "last", "gone"]
    assert differing(recorded, recorded) == []
