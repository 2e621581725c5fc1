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
        """The conclusion from the differences to the control."""
        sides = {
            0 if abs(one.mean) <= (one.margin or 0) else (1 if one.mean > 0 else -1) for one in self.against_control
        }
        if len(self.against_control) < self.seeds:
            return f"{len(self.against_control)} of {self.seeds} seeds are finished"
        if 0 in sides:
            return "cannot tell: an interval contains 0"
        if len(sides) > 1:
            return "cannot tell: the seeds disagree"
        return "cannot tell: only one seed" if self.seeds == 1 else "helps" if sides == {1} else "harms"


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
        control, ablation = ("<br>".join(map(in_words, seeds)) for seeds in found[1:3])
        differences = control, "" if width is None else ablation
        yield [TITLES[network], IDEAS[found.ablation], *differences, published(found.ablation), found.verdict]


def summary_rows() -> Iterator[list[str]]:
    """Yield a row for each idea: the differences to the control in all seeds, and the verdict, in both parts."""
    parts = [{one.ablation: one for one in comparisons(part)} for part in ("study", "longer")]
    for ablation, idea in IDEAS.items():
        cells = (
            f"{found.verdict.partition(':')[0]}: {', '.join(f'{one.mean:+.2f}' for one in found.against_control)}"
            if (found := part.get(ablation))
            else ""
            for part in parts
        )
        yield [TITLES[CONTROLS[ablation][0]], idea, *cells, published(ablation)]
