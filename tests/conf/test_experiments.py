"""Every shipped experiment composes, builds and takes a step."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from conftest import TINY_NETS, TINY_RUN, Run, write_dvd
from deblurzoo.commands.experiments import names
from deblurzoo.commands.hydra_app import as_dicts
from deblurzoo.commands.train import make_module
from deblurzoo.extensions import MOVED
from deblurzoo.files import conf_dir
from deblurzoo.nets.flow_rnn import VARIANTS as FLOW_VARIANTS
from deblurzoo.nets.svrnn import VARIANTS as SVRNN_VARIANTS
from deblurzoo.reports.papers import parameters
from verbs import refused

EXPERIMENTS = names()
PAPERS = ("srn_gopro", "svrnn_gopro", "svrnn_dvd_gopro", "flow_dvd", "nafnet_gopro")
"""Experiments of the papers' full networks; they can be combined with every network, data set and recipe."""
GROUPS = ("experiment", "model", "data", "recipe")
MODELS = sorted({path.stem for path in (conf_dir() / "model").glob("*.yaml")} - {"base"})
RECIPES = sorted(path.stem for path in (conf_dir() / "recipe").glob("*.yaml"))
DATA = ("gopro_blur", "gopro_blur_gamma", "dvd", "gopro_blur_dvd", "toy", "synthesized", "folder")
"""Data sets with training clips."""
RECORDED = Path(__file__).parents[1] / "fixtures" / "experiments"
RENAMED = {"loader": "datamodule"}
"""Keys of configs of version 0.1, and their current names."""
NEW = {
    "blur": "blur",
    "model.optimizer._target_": "torch.optim.Adam",
    "model.schedule.name": "polynomial",
    "model.loss": None,
    "trust": None,
    "metrics": None,
    "init": None,
    "init_partial": False,
    "evaluate_at_end": False,
    "trainer.gradient_clip_val": None,
    "trainer.gradient_clip_algorithm": "norm",
    "callbacks.checkpoints.monitor": None,
    "datamodule.augmentation.noise": None,
    "datamodule.augmentation.jpeg": None,
}
"""Keys that version 0.1 did not have, and the values that reproduce its behaviour."""
_CAFFE = {"model.initialisation": "torch", "model.bias_rate": 1.0}
NEW_OF = {
    "SRN": {"model.net.padding": "symmetric", "model.luminance": False},
    "SVRNN": {"model.net.resize": "half_pixel", **_CAFFE},
    "Liu2016": {"model.net.resize": "half_pixel"},
    "FlowRNN": {"model.net.fill": "replicate", "model.warp": 1.0, "model.frozen_biases": False, **_CAFFE},
}
"""Keys of each network that version 0.1 did not have, and the values that reproduce its behaviour."""
_SOLVER = {
    "model.optimizer.eps": 1e-8,
    "model.optimizer.weight_decay": 1e-6,
    "trainer.gradient_clip_val": 5000,
}
_RELEASED = {
    "model.net.padding": "same",
    "model.net.resize": "tf1",
    "model.schedule.steps": 524_000,
    "model.schedule.end": 0.0,
    "trainer.max_steps": 524_000,
    "trainer.precision": "32-true",
}
CHANGED = {
    "svrnn_gopro": {"model.loss.mse": 24_576.0, **_SOLVER},
    "svrnn_dvd_gopro": {"model.loss.mse": 24_576.0, **_SOLVER},
    "flow_dvd": {"model.loss.mse": 98_304.0, "model.warp": 98_304.0, **_SOLVER},
    "srn_gopro_color": _RELEASED,
    "srn_gopro_gray": {**_RELEASED, "model.luminance": True},
}
"""Values that differ from version 0.1, by the beginnings of the names of experiments."""
GONE = {"model.optimizer.betas": [0.9, 0.999], "model.optimizer.eps": 1e-8}
"""Keys of version 0.1 that are no longer set, since only Adam supports them, with their values: torch's defaults."""


def composed(name: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", overrides=[f"experiment={name}", "run=/run"], return_hydra_config=True)


def flat(config: Any, key: str = "") -> dict[str, Any]:
    """Return the values of a nested config by dotted key."""
    if not isinstance(config, dict) or not config:
        return {key: config}
    return {k: v for name, part in config.items() for k, v in flat(part, f"{key}.{name}" if key else name).items()}


@pytest.mark.parametrize("name", [path.stem for path in sorted(RECORDED.glob("*.json"))])
def test_experiments_have_the_values_of_version_0_1(name: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={name}", "run=run", "run_id=id"])
    before = flat(json.loads((RECORDED / f"{name}.json").read_text()))
    expected = {RENAMED.get(key.partition(".")[0], key.partition(".")[0]) + "".join(key.partition(".")[1:]): value
                for key, value in before.items()}  # fmt: skip
    expected |= {key: MOVED.get(value, value) for key, value in expected.items() if key.endswith("_target_")}
    expected.pop("datamodule.augmentation.extra_blur._target_", None)  # no longer configurable
    assert {key: expected.pop(key) for key in GONE} == GONE
    del cfg.choices  # resolved by Hydra's command line
    resolved = flat(OmegaConf.to_container(cfg, resolve=True))
    logged = {"logger.wandb.log_model": False} if "logger.wandb.project" in expected else {}
    mixed = {"data.weights": None, "data.test": None} if "data.dvd.root" in expected else {}
    network = expected["model._target_"].rpartition(".")[2].removesuffix("Deblur")
    changed = next((values for prefix, values in CHANGED.items() if name.startswith(prefix)), {})
    values = {**expected, **NEW, **NEW_OF[network], **logged, **mixed, **changed}
    replaced = {key for key in values if any(other.startswith(f"{key}.") for other in values)}  # {} or null by a dict
    values = {key: value for key, value in values.items() if key not in replaced}
    assert resolved == values


def test_an_optimiser_without_arguments_is_the_papers() -> None:
    defaults = torch.optim.Adam([torch.zeros(1)]).defaults
    assert {f"model.optimizer.{key}": defaults[key] for key in ("betas", "eps")} == {
        key: tuple(value) if isinstance(value, list) else value for key, value in GONE.items()
    }


@pytest.mark.parametrize(("prefix", "variants"), [("svrnn_", SVRNN_VARIANTS), ("flow_", FLOW_VARIANTS)])
def test_every_variant_of_a_network_is_an_experiment(prefix: str, variants: tuple[str, ...]) -> None:
    nets = [composed(name).model.net for name in EXPERIMENTS if name.startswith(prefix)]
    assert {net.variant for net in nets if "variant" in net} == set(variants)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_called_as_their_files(name: str) -> None:
    assert composed(name).name == name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_networks_have_the_parameters_that_are_written_down(name: str) -> None:
    with torch.device("meta"):
        net = make_module(as_dicts(composed(name).model)).net
    assert sum(p.numel() for p in net.parameters()) == parameters()[name]


def test_one_command_prints_the_papers_figures(deblurzoo: Run) -> None:
    done = deblurzoo("experiments", COLUMNS="60")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    by_name = {line[0]: line[1:] for line in lines if line and line[0] in EXPERIMENTS}
    assert list(by_name) == EXPERIMENTS
    assert by_name["srn_toy"][:3] == ["srn", f"{parameters()['srn_toy']:,}", "toy"]
    assert by_name["svrnn_gopro"] == ["svrnn", "9,227,027", "gopro", "svrnn_gopro", "29.19", "0.9306"]
    assert "svrnn_gopro: Zhang et al., CVPR 2018, tables 2 to 4" in done.stdout


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_takes_a_step(name: str, trees: dict[str, list[str]], deblurzoo: Run, tmp_path: Path) -> None:
    choices = composed(name).hydra.runtime.choices
    data = trees.get(choices.data, ["data=toy", *trees["toy"]])
    more = ["datamodule.augmentation.extra_blur.max_length=1"] if name == "svrnn_dvd_gopro" else []
    tiny = [*TINY_RUN, *TINY_NETS.get(choices.model, []), "trainer.max_steps=1", *more]
    done = deblurzoo("train", f"experiment={name}", *tiny, *data, "name=run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "run" / "checkpoints" / "step_00000001.ckpt").is_file()


def crosses() -> Iterator[tuple[str, str, str, str]]:
    """Yield experiment, model, data set and recipe; all pairs of an experiment and a choice of another group occur."""
    for place, experiment in enumerate(PAPERS):
        for number, data in enumerate(DATA):
            recipe = RECIPES[(number + place) % len(RECIPES)]
            yield experiment, MODELS[number % len(MODELS)], data, recipe


@pytest.mark.parametrize(("experiment", "model", "data", "recipe"), crosses())
def test_a_papers_experiment_goes_with_each_network_data_set_and_recipe(
    experiment: str, model: str, data: str, recipe: str, trees: dict[str, list[str]], deblurzoo: Run, tmp_path: Path
) -> None:
    groups = [f"experiment={experiment}", f"model={model}", f"data={data}", f"recipe={recipe}"]
    more = ["datamodule.augmentation.extra_blur.max_length=1"] if experiment == "svrnn_dvd_gopro" else []
    tiny = [*TINY_RUN, "datamodule.augmentation.zoom=null", *TINY_NETS.get(model, []), "trainer.max_steps=1", *more]
    done = deblurzoo("train", *groups, *trees[data], *tiny, "name=run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "run" / "checkpoints" / "step_00000001.ckpt").is_file()


@pytest.mark.parametrize(
    "words",
    ["experiment=srn_gopro data=dvd", "experiment=flow_dvd data=gopro_blur", "model=liu2016 recipe=svrnn data=dvd",
     "experiment=srn_gopro model=svrnn"],
)  # fmt: skip
def test_what_is_chosen_alone_goes_with_the_rest(words: str, trees: dict[str, list[str]], deblurzoo: Run) -> None:
    chosen = dict(word.split("=") for word in words.split())
    model = chosen.get("model") or {"srn_gopro": "srn", "flow_dvd": "flow_rnn"}[chosen["experiment"]]
    tiny = [*TINY_RUN, "datamodule.augmentation.zoom=null", *TINY_NETS[model], "trainer.max_steps=1"]
    done = deblurzoo("train", *words.split(), *trees[chosen.get("data", "gopro_blur")], *tiny)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def trees(flow_toy: Path, tmp_path: Path) -> dict[str, list[str]]:
    """Return the overrides that set the paths of each data set; the toy clips are in the layout of each data set."""
    dvd = write_dvd(flow_toy, tmp_path / "dvd")
    folders = [
        f"data.{split}.{kind}={clip / kind}"
        for split in ("train", "test")
        for clip in (flow_toy / split).iterdir()
        for kind in ("blur", "sharp")
    ]
    return {
        **{name: [f"data.root={flow_toy}"] for name in ("gopro_blur", "gopro_blur_gamma", "toy")},
        "synthesized": [f"data.root={flow_toy}"],
        "dvd": [f"data.root={dvd}"],
        "gopro_blur_dvd": [f"data.gopro.root={flow_toy}", f"data.dvd.root={dvd}"],
        "folder": folders,
    }


@pytest.mark.processes
def test_every_cross_of_a_papers_experiment_composes() -> None:
    """Two experiments suffice: with given model, data and recipe, only names and one augmentation differ."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for groups in itertools.product(("srn_gopro", "svrnn_dvd_gopro"), MODELS, DATA, RECIPES):
            words = [f"{group}={choice}" for group, choice in zip(GROUPS, groups, strict=True)]
            cfg = compose("train", overrides=[*words, "run=run"])
            assert all("_target_" in callback for callback in cfg.callbacks.values())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_alone_sets_nothing_of_what_was_not_chosen(recipe: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        alone = compose("train", overrides=[f"recipe={recipe}", "run=run"])
        plain = compose("train", overrides=[f"recipe={recipe}", "callbacks=default", "run=run"])
    assert (alone.model._target_, alone.data._target_) == ("deblurzoo.training.srn.SRNDeblur", "deblurzoo.data.Toy")
    assert all("_target_" in callback for cfg in (alone, plain) for callback in cfg.callbacks.values())
    assert "ema" not in plain.callbacks


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "experiment=svrnn_gopro_no_skip model=srn",
            "model.net.variant is not an argument of SRN, which has kernel_size,",
        ),
        (
            "experiment=srn_gopro_k3_rnn model=svrnn",
            "model.net.kernel_size is not an argument of SVRNN, which has variant,",
        ),
        ("experiment=flow_dvd_no_flow model=liu2016", "model.net.variant is not an argument of Liu2016"),
        ("experiment=svrnn_gopro_no_rnns model=flow_rnn", "sets model.net of model=svrnn: with model=flow_rnn"),
        ("experiment=flow_dvd_no_rnns model=svrnn", "sets model.net of model=flow_rnn: with model=svrnn"),
        (
            "experiment=svrnn_gopro_no_convs model=flow_rnn",
            "model.net.variant=no_convs is invalid for FlowRNN: Input should be 'full', 'no_rnns'",
        ),
        ("experiment=svrnn_toy model=flow_rnn", "model.vgg16 is not an argument of FlowRNNDeblur, which has net, "),
    ],
)
def test_an_ablation_belongs_to_its_network(words: str, message: str, toy: Path, deblurzoo: Run) -> None:
    refused(deblurzoo("train", *words.split(), "data=toy", f"data.root={toy}"), message)


def test_srn_gopro_is_the_papers_recipe() -> None:
    cfg = composed("srn_gopro")
    assert cfg.data.blur == "blur"
    assert (cfg.datamodule.batch_size, cfg.datamodule.augmentation.crop, cfg.trainer.max_steps) == (16, 256, 262_000)
    assert not any(cfg.datamodule.augmentation[key] for key in ("zoom", "rot90", "flip", "permute_channels"))
    assert OmegaConf.to_container(cfg.model.schedule, resolve=True) == {
        "name": "polynomial",
        "steps": 262_000,
        "power": 0.3,
        "end": 0.01,
        "warmup": 0,
    }
    assert cfg.model.optimizer.lr == 1e-4 and cfg.model.clip_lstm_norm == 3.0


@pytest.mark.parametrize(("name", "channels"), [("color", 3), ("gray", 1), ("lstm", 1)])
def test_the_released_networks_have_the_recipe_of_the_code(name: str, channels: int) -> None:
    cfg = composed(f"srn_gopro_{name}")
    assert cfg.hydra.runtime.choices.recipe == "srn_released"
    assert (cfg.datamodule.batch_size, cfg.datamodule.augmentation.crop, cfg.trainer.max_steps) == (16, 256, 524_000)
    assert (cfg.model.optimizer.lr, cfg.model.schedule.power, cfg.model.schedule.end) == (1e-4, 0.3, 0.0)
    assert (cfg.model.net.channels, cfg.model.luminance, cfg.trainer.precision) == (channels, channels == 1, "32-true")
    assert (cfg.model.net.bottleneck == "conv_lstm") == (name == "lstm")


@pytest.mark.parametrize(
    ("name", "batch_size", "crop", "steps"),
    [("svrnn_gopro", 20, 128, 200_000), ("svrnn_gopro_liu2016", 20, 128, 200_000), ("flow_dvd", 20, 256, 800_000)],
)
def test_the_spatial_rnns_have_their_papers_recipes(name: str, batch_size: int, crop: int, steps: int) -> None:
    cfg = composed(name)
    assert (cfg.datamodule.batch_size, cfg.datamodule.augmentation.crop, cfg.trainer.max_steps) == (
        batch_size,
        crop,
        steps,
    )
    assert cfg.datamodule.augmentation.rot90 and cfg.datamodule.augmentation.permute_channels
    assert (cfg.model.optimizer.lr, cfg.model.schedule.power, cfg.model.schedule.end) == (1e-4, 2.0, 0.0)


@pytest.mark.parametrize("logger", ["csv", "wandb", "tensorboard", "many"])
def test_every_logger_group_composes_with_csv(logger: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"logger={logger}"])
    assert "csv" in cfg.logger
