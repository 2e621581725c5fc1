"""The trainings of the study: networks, ablations, controls, and the regime of blur."""

from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORTH = 0.5
"""Gain on Kodak in dB with which a network of the part `weights` becomes a part of deblurzoo."""
REGIME = {"length": "[4,6]", "shorter_side": "400", "objects": "0", "responses": "[null]"}
"""Blur length, scale of the photos, number of objects and camera response of the study, from the learnability table."""
NAFNET = ["model=nafnet", "model.net.width=16", "model.net.encoder_blocks=[1,1,8]", "model.net.decoder_blocks=[1,1,1]"]
NETWORKS = {
    "svrnn": ["model=svrnn", "model.net.width=0.25", "model.net.residual=true", "model.vgg16=null"],
    "srn": ["model=srn", "model.net.width=0.25", "model.net.residual=true"],
    "nafnet": NAFNET,
    "flow_rnn": ["model=flow_rnn", "model.net.width=0.25", "model.net.residual=true"],
}
"""Full networks of about 0.55 million parameters."""
CONTROLS = {
    "svrnn_no_rnns": ("svrnn", ["model.net.variant=no_rnns"], 1.094),
    "svrnn_no_convs": ("svrnn", ["model.net.variant=no_convs"], 0.255),
    "svrnn_no_skip": ("svrnn", ["model.net.variant=no_skip"], 0.266),
    "srn_one_scale": ("srn", ["model.net.scales=1", "model.net.bottleneck=conv"], 0.293),
    "srn_no_recurrence": ("srn", ["model.net.bottleneck=conv"], 0.258),
    "flow_rnn_no_flow": ("flow_rnn", ["model.net.variant=no_flow"], 0.26),
    "flow_rnn_no_flow_losses": ("flow_rnn", ["model.net.variant=no_flow_losses"], None),
}
"""Full network, overrides and width of the control of each ablation; None if both have the same multiply-adds."""
FIRST = (
    *("svrnn", "svrnn_no_rnns_control", "svrnn_seed1", "svrnn_no_rnns_control_seed1", "svrnn_no_rnns"),
    *("srn", "srn_no_recurrence_control", "nafnet", "flow_rnn", "flow_rnn_no_flow_control", "svrnn_no_rnns_seed1"),
    *("svrnn_no_convs_control", "svrnn_no_skip_control", "srn_one_scale_control", "srn_one_scale"),
)
"""The most valuable jobs of the part `longer`, in this order."""

Jobs = dict[str, list[str]]
"""Overrides of `deblurzoo train` by the name of a job."""


def learnability() -> Jobs:
    """Return trainings in regimes of decreasing severity, with other losses, and with other values of Adam's epsilon.

    The first jobs were trained on larger crops without the frequency loss, at first with moving objects and several
    camera responses. A pair of SVRNNs compares the mean squared error with Caffe's L2 loss and its authors' solver.
    """
    first = ["trainer.max_steps=1000", "datamodule.augmentation.crop=128", "~model.loss.frequency"]
    jobs = {
        f"{network}_{name}_{side}": [*NETWORKS[network], f"data.length={length}", f"data.shorter_side={side}", *first]
        for network, name, length, side in (
            *(
                ("srn", name, length, side)
                for side in ("400", "720", "null")
                for name, length in (("severe", "[8,24]"), ("medium", "[4,12]"), ("mild", "[2,6]"))
            ),
            ("svrnn", "mild", "[2,6]", "400"),
        )
    }
    second = ["trainer.max_steps=2000", "data.shorter_side=400"]
    jobs["svrnn_mild"] = [*NETWORKS["svrnn"], "data.length=[2,6]", *second]
    still = [*second, "data.length=[4,6]", "data.objects=0", "data.responses=[null]"]
    jobs |= {f"{network}_still": [*NETWORKS[network], *still] for network in ("srn", "svrnn", "nafnet")}
    short = [*still, "trainer.max_steps=1000"]
    for loss in ("l1", "charbonnier", "mse"):
        other = [f"++model.loss.{loss}=1.0", *(["~model.loss.l1"] if loss != "l1" else [])]
        jobs[f"svrnn_{loss}"] = [*NETWORKS["svrnn"], *short, "~model.loss.frequency", *other]
    jobs["svrnn_l1_1e-12"] = [*jobs["svrnn_l1"], "++model.optimizer.eps=1e-12"]
    solver = ["++model.optimizer.weight_decay=1e-6", "++trainer.gradient_clip_val=5000"]
    jobs["svrnn_caffe_l2"] = [*jobs["svrnn_mse"], "++model.loss.mse=6144.0", *solver]  # 3/2 crop²
    return jobs


def study() -> Jobs:
    """Return the full networks, and the ablations with their controls; two seeds of SVRNN's."""
    regime = [f"data.{key}={value}" for key, value in REGIME.items()]
    jobs = {network: [*overrides, *regime] for network, overrides in NETWORKS.items()}
    for name, (network, overrides, width) in CONTROLS.items():
        jobs[name] = [*jobs[network], *overrides]
        if width is not None:
            jobs[f"{name}_control"] = [*jobs[name], f"model.net.width={width}"]
    again = {f"{name}_seed1": [*job, "seed=1"] for name, job in jobs.items() if name.startswith("svrnn")}
    return {name: [*job, "trainer.max_steps=2000"] for name, job in {**jobs, **again}.items()}


def longer() -> Jobs:
    """Return the jobs of the study with four times as many samples, in an order of decreasing value.

    Flow has a second seed: its first difference is smaller than differences between seeds.
    """
    jobs = study()
    again = ("flow_rnn", "flow_rnn_no_flow_control", "flow_rnn_no_flow")
    jobs |= {f"{name}_seed1": [*jobs[name], "seed=1"] for name in again}
    longer = ["trainer.max_steps=8000", "trainer.val_check_interval=2000"]
    return {name: [*jobs[name], *longer] for name in dict.fromkeys((*FIRST, *jobs))}


def weights() -> Jobs:
    """Return the trainings of the networks that are shipped: longer, on photos and on the frames of a real camera."""
    photos = ["data.photos.length=[0.5,7]", "data.photos.shorter_side=400"]
    steps = ["trainer.max_steps=20000", "trainer.val_check_interval=2000"]
    networks = {name: NETWORKS[name] for name in ("nafnet", "svrnn", "srn")}
    networks["nafnet"] = [*NETWORKS["nafnet"], "model.net.tlc=96"]
    return {f"{name}-small": [*network, *photos, *steps] for name, network in networks.items()}


PARTS: dict[str, Callable[[], Jobs]] = {
    "learnability": learnability,
    "study": study,
    "longer": longer,
    "weights": weights,
}
FOLDERS = {part: part for part in (*PARTS, "filters")} | {"study": "jobs"}
"""Folders of the kept files of each part."""
