"""Does an idea help? The differences between full networks and controls in the kept files, with a verdict."""

from collections.abc import Iterator
from typing import NamedTuple

from kept import in_words, kept
from trainings import CONTROLS, PARTS

from deblurzoo.reports.differences import Difference, difference
from deblurzoo.reports.papers import rows_of
from deblurzoo.reports.results import Results

TITLES = {"svrnn": "SVRNN", "srn": "SRN", "nafnet": "NAFNet", "flow_rnn": "FlowRNN"}
IDEAS = {
    "svrnn_no_rnns": "spatially variant RNNs",
    "svrnn_no_convs": "convolutions between the RNNs",
    "svrnn_no_skip": "skip connections",
    "srn_one_scale": "scales",
    "srn_no_recurrence": "recurrence",
    "flow_rnn_no_flow": "optical flow",
    "flow_rnn_no_flow_losses": "losses on the flow",
}
"""The idea that each ablation lacks."""
PUBLISHED = {
    "svrnn_no_rnns": ("svrnn_gopro", "svrnn_gopro_no_rnns"),
    "svrnn_no_convs": ("svrnn_gopro", "svrnn_gopro_no_convs"),
    "svrnn_no_skip": ("svrnn_gopro", "svrnn_gopro_no_skip"),
    "srn_one_scale": ("srn_gopro_k3_sr_edrb3", "srn_gopro_k3_ss"),
    "srn_no_recurrence": ("srn_gopro_k3_sr_edrb3", "srn_gopro_k3_wo_r"),
    "flow_rnn_no_flow": ("flow_dvd", "flow_dvd_no_flow"),
    "flow_rnn_no_flow_losses": ("flow_dvd", "flow_dvd_no_flow_losses"),
}
"""Experiments of the papers' full network and of their ablation, on GOPRO or DVD."""
MULTIPLE_SEEDS = ("", "_seed1")
OF_IDEAS = ("network", "idea", "full minus control, dB", "full minus ablation, dB", "the same in the paper", "verdict")
"""Headings of `idea_rows`."""


class Comparison(NamedTuple):
    """The full network minus its control, and minus its ablation, in each finished seed."""

    ablation: str
    against_control: list[Difference]
    against_ablation: list[Difference]
    seeds: int
    """Number of seeds of the study."""

    @property
    def verdict(self) -> str:
        """The conclusion from all differences."""
        if len(self.against_control) < self.seeds:
            return f"{len(self.against_control)} of {self.seeds} seeds finished"
        sides = {side(one) for one in (*self.against_control, *self.against_ablation)}
        if {-1, 1} <= sides:
            return "cannot tell: the differences disagree"
        if 0 in sides:
            return "cannot tell: an interval contains 0"
        return "cannot tell: only one seed" if self.seeds == 1 else "helps" if sides == {1} else "harms"


def side(found: Difference) -> int:
    """Return 1 if the interval of a difference is above 0, -1 if it is below 0, and 0 if it contains 0."""
    return 0 if abs(found.mean) <= (found.margin or 0) else 1 if found.mean > 0 else -1


def comparisons(part: str) -> Iterator[Comparison]:
    """Yield a comparison for each idea of which all jobs of a seed are finished."""
    for ablation in IDEAS:
        network, _, width = CONTROLS[ablation]
        control = ablation if width is None else f"{ablation}_control"
        seeds = [seed for seed in MULTIPLE_SEEDS if f"{ablation}{seed}" in PARTS[part]()]
        found = Comparison(ablation, [], [], len(seeds))
        for seed in seeds:
            full, ablated, same = (kept(part, f"{name}{seed}").get("kodak") for name in (network, ablation, control))
            if full and ablated and same:
                found.against_control.append(minus(full, same))
                found.against_ablation.append(minus(full, ablated))
        if found.against_control:
            yield found


def spread_of_seeds() -> float:
    """Return the largest distance in dB between the differences to the control of two seeds, in both parts."""
    values = [
        [one.mean for one in found.against_control] for part in ("study", "longer") for found in comparisons(part)
    ]
    return max(max(seeds) - min(seeds) for seeds in values)


def minus(first: Results, second: Results) -> Difference:
    """Return the mean PSNR of the first results minus the mean PSNR of the second results."""
    found = difference(second, first, "psnr")
    assert found is not None
    return found


def published(ablation: str) -> str:
    """Return the PSNR of the papers' full network minus the PSNR of their ablation, in dB."""
    full, ablated = (rows_of(name)[0].figures["psnr"] for name in PUBLISHED[ablation])
    return f"{full - ablated:+.2f}"


def idea_rows(part: str) -> Iterator[list[str]]:
    """Yield a row for each comparison; each line of a cell is a seed."""
    for found in comparisons(part):
        network, _, width = CONTROLS[found.ablation]
        control, ablation = (
            "<br>".join(map(in_words, seeds)) for seeds in (found.against_control, found.against_ablation)
        )
        differences = control, "" if width is None else ablation
        yield [TITLES[network], IDEAS[found.ablation], *differences, published(found.ablation), found.verdict]


def summary_rows() -> Iterator[list[str]]:
    """Yield a row for each comparison after the longer training: the verdict, and the mean differences of all seeds."""
    for found in comparisons("longer"):
        network, _, width = CONTROLS[found.ablation]
        control, ablation = (
            ", ".join(f"{one.mean:+.2f}" for one in seeds) for seeds in (found.against_control, found.against_ablation)
        )
        row = found.verdict, control, "" if width is None else ablation, published(found.ablation)
        yield [TITLES[network], IDEAS[found.ablation], *row]


def slow_controls() -> tuple[int, int]:
    """Return the number of controls of the study that gain less than their ablation, and the number of all controls."""
    pairs = [
        (against_control.mean, against_ablation.mean)
        for found in comparisons("study")
        if CONTROLS[found.ablation][2] is not None
        for against_control, against_ablation in zip(found.against_control, found.against_ablation, strict=True)
    ]
    return sum(control > ablation for control, ablation in pairs), len(pairs)
