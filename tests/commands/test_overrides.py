"""The conversion of a user's overrides to overrides that Hydra can read."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Run
from deblurzoo.commands.overrides import options_first, readable
from deblurzoo.errors import DeblurzooError
from verbs import refused


def test_a_sweep_keeps_its_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert readable(["-m", "data.root=~/a,~/b"]) == ["-m", "data.root=/home/me/a,/home/me/b"]
    assert readable(["data.root=~/a, (b)"]) == ['data.root="/home/me/a, (b)"']
    with pytest.raises(DeblurzooError, match="""type 'checkpoint="~/a=b","~/c"'"""):
        readable(["-m", "checkpoint=~/a=b,~/c"])
    assert readable(["-m", 'checkpoint="~/a=b","~/c"']) == ["-m", 'checkpoint="/home/me/a=b","/home/me/c"']


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text("a1/=,()[]{}:;\"'\\ é$#|-\n", min_size=1))
def test_quotes_of_messages_keep_every_character(value: str) -> None:
    try:
        readable([f"checkpoint={value}"])
    except DeblurzooError as error:
        _, typed, argument = str(error).partition(" type ")
        if typed and value[0] not in "[{\"'":
            (typed,) = readable(shlex.split(argument.partition("; for a list")[0]))
            assert OverridesParser.create().parse_override(typed).value() == value


@pytest.mark.parametrize(
    ("verb", "argument", "message"),
    [
        ("evaluate", "ckpt=runs/x", "error: ckpt is now checkpoint: type checkpoint=runs/x"),
        ("train", "loader.batch_size=2", "error: loader is now datamodule: type datamodule.batch_size=2"),
        ("train", "~loader.augmentation.zoom", "error: loader is now datamodule: type '~datamodule.augmentation.zoom'"),
        ("train", "trainer=smoke", "error: trainer=smoke is now debug=smoke: type debug=smoke"),
        ("train", "preset=none", "error: preset=none is now preset=null: type preset=null"),
    ],
)
def test_a_renamed_word_is_answered_with_the_new_one(verb: str, argument: str, message: str, deblurzoo: Run) -> None:
    refused(deblurzoo(verb, "data=toy", argument), message)


def test_a_sweep_over_a_group_without_a_choice(deblurzoo: Run) -> None:
    message = "error: preset=fast,null: a sweep over a group of configs cannot contain null"
    refused(deblurzoo("train", "-m", "data=toy", "preset=fast,null"), message)


@pytest.mark.parametrize(
    ("argument", "read"),
    [
        ("recipe=1", 'recipe="1"'),
        ("recipe=true", 'recipe="true"'),
        ("~recipe=nan", '~recipe="nan"'),
        ("recipe=null", "~recipe"),
        ("~recipe=null", "~recipe"),
        ("recipe=[toy,1]", 'recipe=["toy","1"]'),
        ("recipe=1,toy", 'recipe="1","toy"'),
        ("recipe=glob(srn*)", "recipe=glob(srn*)"),
        ("data@against=1", 'data@against="1"'),
        ("hydra/job_logging=1", 'hydra/job_logging="1"'),
    ],
)
def test_hydra_reads_names_of_configs_as_text(argument: str, read: str) -> None:
    assert readable(["-m", argument]) == ["-m", read]


@pytest.mark.parametrize(
    ("line", "ordered"),
    [
        ("a=1 --help b=2", "--help -- a=1 b=2"),
        ("a=1 -cd folder b=2 -m c=3", "-cd folder -m -- a=1 b=2 c=3"),
        ("a=1 --config-dir=folder b=2", "--config-dir=folder -- a=1 b=2"),
        ("a=1 -i b=2", "-i -- a=1 b=2"),
        ("a=1 -i config b=2", "-i config -- a=1 b=2"),
        ("-- a=1", "a=1"),
        ("a=1 -- -m", "-m -- a=1"),
        ("-m", "-m"),
    ],
)
def test_options_are_before_the_overrides(line: str, ordered: str) -> None:
    assert options_first(line.split()) == ordered.split()
    assert options_first(ordered.split()) == ordered.split()


@pytest.mark.parametrize("line", ["data=toy -h seed=1", "--cfg job data=toy seed=1", "data=toy --info config seed=1"])
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_options_between_overrides(verb: str, line: str, deblurzoo: Run) -> None:
    words = line.replace("seed", "seed" if verb == "train" else "pictures").split()
    done = deblurzoo(verb, *words)
    assert done.returncode == 0 and "data" in done.stdout, done.stderr


@pytest.mark.parametrize("argument", ["recipe=range(2)", "recipe={a: 1}", "~recipe=[a]", "hydra/launcher={a: 1}"])
def test_a_group_has_no_other_values(argument: str, deblurzoo: Run) -> None:
    message = f"error: {argument}: {argument.strip('~').partition('=')[0]} is a group of configs: give the name"
    refused(deblurzoo("train", "-m", "data=toy", argument), message)


def test_a_pickled_config_is_not_read(deblurzoo: Run, tmp_path: Path) -> None:
    message = "--experimental-rerun is not supported: give the overrides of the run again"
    refused(deblurzoo("train", "--experimental-rerun", "config.pickle"), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loader: {batch_size: 2}\n", "loader is now datamodule: rename it in this file"),
        ("defaults: [override /trainer: smoke]\n", "trainer=smoke is now debug=smoke: rename it in this file"),
        ("defaults: [override /loader: default]\n", "loader is now datamodule: rename it in this file"),
    ],
)
def test_a_renamed_word_in_a_users_config_is_named_with_its_file(
    text: str, message: str, deblurzoo: Run, tmp_path: Path
) -> None:
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"# @package _global_\n{text}")
    refused(deblurzoo("train", "--config-dir", "conf", "experiment=mine"), f"conf/experiment/mine.yaml: {message}")
