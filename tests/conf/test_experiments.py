"""Every shipped experiment composes, builds and takes a step."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from conftest import TINY_NETS, TINY_RUN, Run
from deblurzoo.experiments import names
from deblurzoo.nets.flow_rnn import VARIANTS as FLOW_VARIANTS
from deblurzoo.nets.svrnn import VARIANTS as SVRNN_VARIANTS
from deblurzoo.paths import conf_dir

EXPERIMENTS = names()
PARAMETERS = {
    "srn_gopro": 8_061_411,
    "srn_gopro_k3_ss": 2_731_619,
    "srn_gopro_k3_sc": 8_194_857,
    "srn_gopro_k3_wo_r": 2_731_619,
    "srn_gopro_k3_rnn": 3_026_787,
    "srn_gopro_k3_sr_flat": 2_659_939,
    "srn_gopro_k3_sr_rb": 2_659_939,
    "srn_gopro_k3_sr_ed": 3_764_195,
    "srn_gopro_k3_sr_edrb1": 2_214_115,
    "srn_gopro_k3_sr_edrb2": 2_989_155,
    "srn_gopro_k3_sr_edrb3": 3_764_195,
    "srn_gopro_gray": 6_876_449,
    "srn_gopro_color": 6_881_251,
    "svrnn_gopro": 9_227_027,
    "svrnn_gopro_no_skip": 8_594_531,
    "svrnn_gopro_no_convs": 9_116_339,
    "svrnn_gopro_no_rnns": 153_299,
    "svrnn_gopro_weights_only": 7_821_059,
    "svrnn_dvd_gopro": 9_227_027,
    "svrnn_gopro_liu2016": 147_677,
    "flow_dvd": 8_281_696,
    "flow_dvd_no_rnns": 725_280,
    "flow_dvd_concat_weights": 8_752_864,
    "flow_dvd_no_flow": 8_278_168,
    "flow_dvd_no_flow_losses": 8_281_696,
    "flow_dvd_two_directions": 8_327_388,
    "flow_dvd_rnn_decoder": 7_282_912,
}
"""Parameter counts of full-size experiments, from the papers' tables."""


def composed(name: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", overrides=[f"experiment={name}", "run=/run"], return_hydra_config=True)


def test_every_experiment_of_a_paper_has_a_count() -> None:
    assert set(PARAMETERS) == {name for name in EXPERIMENTS if not name.endswith("_toy")}


@pytest.mark.parametrize(("prefix", "variants"), [("svrnn_", SVRNN_VARIANTS), ("flow_", FLOW_VARIANTS)])
def test_every_variant_of_a_network_is_an_experiment(prefix: str, variants: tuple[str, ...]) -> None:
    nets = [composed(name).model.net for name in PARAMETERS if name.startswith(prefix)]
    assert {net.variant for net in nets if "variant" in net} == set(variants)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_called_as_their_files(name: str) -> None:
    assert composed(name).name == name


def test_one_command_prints_the_papers_parameters(deblurzoo: Run) -> None:
    done = deblurzoo("experiments")
    assert done.returncode == 0, done.stderr
    printed = {cells[1]: int(cells[3].replace(",", "")) for cells in map(str.split, done.stdout.splitlines())
               if len(cells) == 5 and cells[3][0].isdigit()}  # fmt: skip
    assert set(printed) == set(EXPERIMENTS)
    assert {name: printed[name] for name in PARAMETERS} == PARAMETERS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_takes_a_step(name: str, request: pytest.FixtureRequest, deblurzoo: Run, tmp_path: Path) -> None:
    choices = composed(name).hydra.runtime.choices
    toy, dvd = request.getfixturevalue("toy"), request.getfixturevalue("dvd")
    data = {
        "gopro": [f"data.root={toy}"],
        "toy": [f"data.root={toy}"],
        "dvd": [f"data.root={dvd}"],
        "gopro_dvd": [
            *(f"data.gopro.root={toy}", f"data.dvd.root={dvd}"),
            "loader.augmentation.extra_blur.max_length=1",
        ],
    }[choices.data]
    if choices.model == "flow_rnn":
        data = ["data=toy", f"data.root={request.getfixturevalue('flow_toy')}"]
    tiny = [*TINY_RUN, *TINY_NETS[choices.model], "trainer.max_steps=1"]
    done = deblurzoo("train", f"experiment={name}", *tiny, *data, "name=run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "run" / "checkpoints" / "step_00000001.ckpt").is_file()


def test_srn_gopro_is_the_papers_recipe() -> None:
    cfg = composed("srn_gopro")
    assert cfg.data.blur == "blur"
    assert (cfg.loader.batch_size, cfg.loader.augmentation.crop, cfg.trainer.max_steps) == (16, 256, 262_000)
    assert not any(cfg.loader.augmentation[key] for key in ("zoom", "rot90", "flip", "permute_channels"))
    assert OmegaConf.to_container(cfg.model.schedule, resolve=True) == {
        "steps": 262_000,
        "power": 0.3,
        "end": 0.01,
        "warmup": 0,
    }
    assert cfg.model.optimizer.lr == 1e-4 and cfg.model.clip_lstm_norm == 3.0


@pytest.mark.parametrize(
    ("name", "batch_size", "crop", "steps"),
    [("svrnn_gopro", 20, 128, 200_000), ("svrnn_gopro_liu2016", 20, 128, 200_000), ("flow_dvd", 20, 256, 800_000)],
)
def test_the_spatial_rnns_have_their_papers_recipes(name: str, batch_size: int, crop: int, steps: int) -> None:
    cfg = composed(name)
    assert (cfg.loader.batch_size, cfg.loader.augmentation.crop, cfg.trainer.max_steps) == (batch_size, crop, steps)
    assert cfg.loader.augmentation.rot90 and cfg.loader.augmentation.permute_channels
    assert (cfg.model.optimizer.lr, cfg.model.schedule.power, cfg.model.schedule.end) == (1e-4, 2.0, 0.0)


@pytest.mark.parametrize("logger", ["csv", "wandb", "tensorboard", "many"])
def test_every_logger_group_composes_with_csv(logger: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"logger={logger}"])
    assert "csv" in cfg.logger
