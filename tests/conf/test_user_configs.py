"""Files of --config-dir take effect, or an error names the file and the missing header."""

from pathlib import Path

import pytest

from conftest import TINY, Run
from verbs import refused

CONTENT = "name: mine\nmodel: {net: {width: 0.125}}\n"
NO_EFFECT = "has no effect, since its content is placed under {}: its first line must be `# @package _global_`"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("verb", [["train"], ["train", "-m"], ["data", "show"]])
def test_an_experiment_without_its_package_is_refused(verb: list[str], deblurzoo: Run, tmp_path: Path) -> None:
    write(tmp_path / "conf/experiment/mine.yaml", CONTENT)
    write(tmp_path / "conf/experiment/another.yaml", CONTENT.replace("mine", "another"))
    done = deblurzoo(*verb, "--config-dir", "conf", "experiment=mine")
    refused(done, f"error: {tmp_path}/conf/experiment/mine.yaml {NO_EFFECT.format('experiment')}")
    assert not list(tmp_path.rglob("*.png"))
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("file", "text", "override", "message"),
    [
        ("experiment/mine.yaml", f"# @package global\n{CONTENT}", "experiment=mine", NO_EFFECT.format("global")),
        ("experiment/mine.yaml", f"# @package: _global_\n{CONTENT}", "experiment=mine", NO_EFFECT.format("experiment")),
        ("experiment/mine.yaml", f"# Mine.\n# @package _global_\n{CONTENT}", "experiment=mine",
         NO_EFFECT.format("experiment")),
        ("experiment/deep/mine.yaml", CONTENT, "experiment=deep/mine", NO_EFFECT.format("experiment")),
        ("preset/mine.yaml", "compile: true\n", "preset=mine", NO_EFFECT.format("preset")),
        ("debug/mine.yaml", "datamodule: {batch_size: 2}\n", "debug=mine", NO_EFFECT.format("debug")),
        ("ablation/mine.yaml", CONTENT, "+ablation=mine", NO_EFFECT.format("ablation")),
        ("experiment/mine.yaml", f"# @package _global_\ntrianer: {{max_steps: 1}}\n{CONTENT}", "experiment=mine",
         ": the key trianer is unknown: it must be one of against, blur, callbacks, "),
        ("experiment/mine.yaml", f"# @package _global_ # mine\n{CONTENT}", "experiment=mine",
         "its first line must be `# @package _global_`, without further words"),
        ("experiment/mine.yaml", "# @package _global_\nname: [mine\n", "experiment=mine",
         " cannot be read (while parsing"),
        ("experiment/mine.yaml", "# @package _global_\n1\n", "experiment=mine", " cannot be read ("),
    ],
)  # fmt: skip
def test_a_file_without_effect_is_named(
    file: str, text: str, override: str, message: str, deblurzoo: Run, tmp_path: Path
) -> None:
    write(tmp_path / "conf" / file, text)
    done = deblurzoo("train", "--config-dir=conf", *TINY, override)
    refused(done, f"conf/{file}", message)
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_recipe_that_an_experiment_takes_needs_its_package_too(deblurzoo: Run, tmp_path: Path) -> None:
    write(tmp_path / "conf/experiment/mine.yaml", "# @package _global_\ndefaults: [/recipe/mine]\nname: mine\n")
    write(tmp_path / "conf/recipe/mine.yaml", "trainer: {max_steps: 1}\n")
    done = deblurzoo("train", "--config-dir=conf", "experiment=mine")
    refused(done, f"error: {tmp_path}/conf/recipe/mine.yaml {NO_EFFECT.format('recipe')}")


def test_a_key_of_the_command_line_that_nothing_reads(deblurzoo: Run) -> None:
    refused(deblurzoo("train", *TINY, "+trianer.max_steps=1"), "error: the key trianer is unknown: it must be one")


@pytest.mark.parametrize("header", ["# @package _global_", "#@package _global_", "\n#  @package   _global_"])
def test_files_that_have_an_effect(header: str, deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    """Includes a user-defined group and a user-defined variable."""
    write(
        tmp_path / "conf/experiment/mine.yaml",
        f"{header}\ncrop: 16\ndatamodule: {{augmentation: {{crop: '${{crop}}'}}}}\n",
    )
    write(tmp_path / "conf/ablation/mine.yaml", f"{header}\nmodel: {{net: {{width: 0.25}}}}\n")
    write(tmp_path / "conf/data/mine.yaml", f"defaults: [toy, _self_]\nroot: {toy}\n")
    mine = ["--config-dir=conf", "experiment=mine", "+ablation=mine", "data=mine", "samples=1"]
    done = deblurzoo("data", "show", *mine, "model.net.width=0.125", "out=samples.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.png").is_file()
