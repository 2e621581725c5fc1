"""Write `docs/results.md` from the files that finished jobs left in `study/`: `python study/report.py`.

Also write `scores.json` and the model card of each network that is part of deblurzoo.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from crops import CARD, shown_image

from deblurzoo import shipped
from deblurzoo.commands.weights import SCORES, Score, Scores
from deblurzoo.files import conf_dir, write_atomically
from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.differences import Difference, difference
from deblurzoo.reports.papers import rows_of
from deblurzoo.reports.results import Results
from deblurzoo.reports.results import read as read_results
from study import CONTROLS, FOLDERS, HERE, NETWORKS, REGIME, learnability, study, weights

PAGE = HERE.parent / "docs" / "results.md"
RECIPE = yaml.safe_load((conf_dir() / "recipe" / "study.yaml").read_text())
BATCH: int = RECIPE["datamodule"]["batch_size"]
VALIDATED: int = RECIPE["trainer"]["val_check_interval"]
"""Number of steps between two validations."""
ENOUGH = 1.0
"""Gain in dB by which a regime counts as learned."""
TESTS = {
    "kodak": "Kodak, simulated blur of 2 to 6 px",
    "reds_full": "REDS, two frames",
    "reds_half": "REDS at half resolution",
    "gopro_full": "GOPRO, one frame",
    "gopro_half": "GOPRO at half resolution",
}
"""Headings of the tests of `study.tests`."""
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


class Validation(NamedTuple):
    """A validation of a job, in dB, and the tera multiply-adds until then."""

    step: int
    psnr: float
    gain: float
    tflop: float


def validations(metrics: Path) -> list[Validation]:
    """Return the validations in a job's `metrics.csv`."""
    found, spent = [], 0.0
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            spent = float(row["train/tflop"] or spent)
            if row["val/psnr"]:
                found.append(Validation(int(row["step"]) + 1, float(row["val/psnr"]), float(row["val/gain"]), spent))
    return found


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def value_of(job: Sequence[str], key: str, default: str) -> str:
    """Return the last value of a key in the overrides of a job."""
    values = [word.partition("=")[2] for word in job if word.lstrip("+").startswith(f"{key}=")]
    return values[-1] if values else default


def learnability_rows() -> list[list[str]]:
    """Return a row for each finished job of the learnability table."""
    rows = []
    for name, job in learnability().items():
        metrics = HERE / "learnability" / name / "metrics.csv"
        if not metrics.exists():
            continue
        found = validations(metrics)[-1]
        low, high = value_of(job, "data.length", "").strip("[]").split(",")
        side = value_of(job, "data.shorter_side", "").replace("null", "as they are")
        loss = next((word for word in job if word.startswith("++model.loss.")), "l1=1.0").removeprefix("++model.loss.")
        loss, _, weight = loss.partition("=")
        loss += "" if float(weight) == 1 else f" by {float(weight):,.0f}"
        rows.append(
            [
                *(value_of(job, "model", ""), f"{low} to {high}", side, loss),
                *(value_of(job, "model.optimizer.eps", "1e-8"), f"{BATCH * found.step:,}"),
                *(f"{found.psnr - found.gain:.2f}", f"{found.gain:+.2f}", f"{found.tflop:.1f}"),
            ]
        )
    return rows


def kept(part: str, name: str) -> dict[str, Results]:
    """Return the kept results of a job by test; empty if the job is not finished."""
    folder = HERE / FOLDERS[part] / name
    return {test: read_results(file) for test in TESTS if (file := folder / test / "results.json").exists()}


def gain(results: Results) -> Difference:
    """Return the gain in PSNR over the blurry images, with its interval over photos or clips."""
    blurry = [image.model_copy(update={"restored": image.blurry}) for image in results.images]
    found = difference(results.model_copy(update={"images": blurry}), results, "psnr")
    assert found is not None
    return found


def in_words(found: Difference) -> str:
    """Return a difference in dB and, if there is one, its interval."""
    if found.margin is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.3f} ({found.mean - found.margin:+.3f} to {found.mean + found.margin:+.3f})"


def network_rows() -> Iterator[list[str]]:
    """Yield a row for each finished job of the study."""
    for name in study():
        if results := kept("study", name):
            folder = HERE / FOLDERS["study"] / name
            found = validations(folder / "metrics.csv")[-1]
            hours = json.loads((folder / "hours.json").read_text())["cpu"]
            first = results["kodak"]
            yield [
                *(name.replace("_", " "), f"{first.network.parameters:,}", f"{found.tflop:.1f}", f"{hours:.2f}"),
                *(in_words(gain(results[test])) if test in results else "" for test in TESTS),
                f"{min(one.do_no_harm_psnr or 0 for one in results.values()):.1f}",
            ]


def curve_rows() -> Iterator[list[str]]:
    """Yield a row for each finished job of the study: the gain on the validation photos at every validation."""
    for name in study():
        metrics = HERE / FOLDERS["study"] / name / "metrics.csv"
        if metrics.exists():
            yield [name.replace("_", " "), *(f"{found.gain:+.3f}" for found in validations(metrics))]


def idea_rows() -> Iterator[list[str]]:
    """Yield a row for each idea of which all jobs of a seed are finished, with a conclusion over all seeds."""
    for ablation, idea in IDEAS.items():
        network, _, width = CONTROLS[ablation]
        seeds = [seed for seed in MULTIPLE_SEEDS if f"{ablation}{seed}" in study()]
        control = ablation if width is None else f"{ablation}_control"
        against: list[Difference] = []
        texts: list[tuple[str, str]] = []
        for seed in seeds:
            full, ablated, same = (kept("study", f"{name}{seed}").get("kodak") for name in (network, ablation, control))
            if full and ablated and same:
                pair = difference(same, full, "psnr"), difference(ablated, full, "psnr")
                assert pair[0] and pair[1]
                against.append(pair[0])
                texts.append((in_words(pair[0]), "" if width is None else in_words(pair[1])))
        if texts:
            values = ["<br>".join(column) for column in zip(*texts, strict=True)]
            full, ablated = (rows_of(name)[0].figures["psnr"] for name in PUBLISHED[ablation])
            yield [network, idea, *values, f"{full - ablated:+.2f}", conclusion(against, len(seeds))]


def conclusion(differences: Sequence[Difference], seeds: int) -> str:
    """Return a conclusion from the differences between the full network and the control in all seeds."""
    sides = {0 if abs(one.mean) <= (one.margin or 0) else (1 if one.mean > 0 else -1) for one in differences}
    if len(differences) < seeds:
        return f"{len(differences)} of {seeds} seeds are finished"
    if sides == {1} or sides == {-1}:
        return ("helps" if sides == {1} else "harms") + ("" if seeds > 1 else " (one seed)")
    return "this study cannot tell: " + ("an interval contains 0" if 0 in sides else "the seeds disagree")


def blur_rows(results: dict[str, Results]) -> Iterator[list[str]]:
    """Yield a row for each range of blur lengths: the gain of each network on Kodak, by the heading of its column."""
    columns = [{one.limits: one for one in gain_by_blur(result)} for result in results.values()]
    for limits in dict.fromkeys(limits for column in columns for limits in column):
        first = next(column[limits] for column in columns if limits in column)
        cells = [
            f"{one.gain:+.2f} ({one.interval[0]:+.2f} to {one.interval[1]:+.2f})"
            if one.interval
            else f"{one.gain:+.2f}"
            for column in columns
            if (one := column.get(limits))
        ]
        yield [limits, f"{first.tiles:,}", *cells]


def blur_table(results: dict[str, Results]) -> str:
    """Return a table of gain by blur length, with a column for each network."""
    return table(["blur in pixels", "tiles", *results], blur_rows(results)) if results else ""


def scores(name: str) -> Scores:
    """Return the scores of a network that is part of deblurzoo."""
    results = kept("weights", name)
    crops = BATCH * results["kodak"].checkpoint.step
    length = value_of(weights()[name], "data.photos.length", "").strip("[]").replace(",", " to ")
    tests = []
    for test, result in results.items():
        found = gain(result)
        tests.append(
            Score(
                test=TESTS[test],
                images=len(result.images),
                blurry=round(result.blurry["psnr"], 3),
                gain=round(found.mean, 3),
                margin=found.margin and round(found.margin, 3),
                unharmed=round(result.do_no_harm_psnr or 0, 1),
            )
        )
    parameters = results["kodak"].network.parameters or 0
    trained = f"trained on {crops:,} crops with blur of {length} pixels"
    return Scores(parameters=parameters, trained=trained, tests=tests)


def score_table(found: Scores) -> str:
    """Return the scores of a network as a table."""
    headings = ("test", "images", "blurry dB", "gain dB", "95 % interval over photos", "sharp images, restored: dB")
    return table(
        headings,
        [
            [
                *(one.test, str(one.images), f"{one.blurry:.2f}", f"{one.gain:+.2f}"),
                "" if one.margin is None else f"{one.gain - one.margin:+.2f} to {one.gain + one.margin:+.2f}",
                f"{one.unharmed:.1f}",
            ]
            for one in found.tests
        ],
    )


def page() -> str:
    """Return the text of the page."""
    rows = learnability_rows()
    headings = ("network", "blur in pixels", "shorter side", "loss", "Adam's epsilon")
    headings += ("crops seen", "blurry dB", "gain dB", "tera multiply-adds")
    largest = max((float(row[headings.index("gain dB")]) for row in rows), default=0.0)
    reached = f"The largest gain is {largest:.2f} dB, {'at least' if largest >= ENOUGH else 'less than'} {ENOUGH:g} dB."
    low, high = REGIME["length"].strip("[]").split(",")
    regime = f"blur of {low} to {high} pixels, photos with a shorter side of {REGIME['shorter_side']} pixels"
    done = list(network_rows())
    steps = {value_of(job, "trainer.max_steps", "") for job in study().values()}
    crops = f"{BATCH * int(steps.pop()):,}"
    of_networks = (
        "network",
        "parameters",
        "tera multiply-adds",
        "CPU hours",
        *TESTS.values(),
        "sharp images, restored",
    )
    of_ideas = (
        "network",
        "idea",
        "full minus control, dB",
        "full minus ablation, dB",
        "the same in the paper",
        "the idea",
    )
    curves = list(curve_rows())
    checks = max((len(row) - 1 for row in curves), default=0)
    of_curves = ["network", *(f"{BATCH * VALIDATED * (number + 1):,} crops" for number in range(checks))]
    by_blur = {name: found["kodak"] for name in NETWORKS if (found := kept("study", name))}
    return f"""# Results

Written by `python study/report.py` from the files in [study/](../study/README.md), which describes the question, the
networks, the data and the jobs.

## In which regime do small networks learn?

Networks of about 0.55 million parameters were trained on 91 photos. The gain is over the blurry input, on three fixed
exposures of each of 20 other photos. {len(rows)} of {len(learnability())} jobs are finished.

{table(headings, rows)}
{reached}

The study's regime: {regime}.

## Which ideas help?

All conclusions hold for this regime and for {crops} crops per network, which is little.
{len(done)} of {len(study())} jobs of the study are finished.

{table(of_networks, done) if done else ""}
The columns of tests are gains in PSNR over the blurry images, in dB; Kodak's with the 95 % interval over 13 images. The
last column is the lowest PSNR between sharp images and the images restored from them.

The gain on the 20 validation photos during the training, in dB:

{table(of_curves, curves) if curves else ""}
An idea helps if the full network is better than its control in all seeds, with intervals on the same side of zero. Each
line of a row is a seed.

{table(of_ideas, idea_rows())}
The papers compare the full network with the ablation, after long trainings on GOPRO (FlowRNN: DVD). This difference
includes the effect of size.

## Gain by blur size

Gain in dB on the tiles of the Kodak images whose blur has about this length, with 95 % intervals over images.

{blur_table(by_blur)}
## Networks that are part of deblurzoo

The default of `deblurzoo deblur` must gain at least 0.5 dB on Kodak and 0.1 dB on a real test, and leave sharp images
above 40 dB. {f"It is `{shipped.DEFAULT}`." if shipped.DEFAULT else "No network reaches all of this yet."}

{"".join(shipped_section(name) for name in shipped.names()) or "None yet."}"""


def shipped_section(name: str) -> str:
    """Return the section of the page about a network that is part of deblurzoo."""
    found = scores(name)
    card = f"../src/deblurzoo/shipped/{name}/README.md"
    return f"`{name}`: {found.parameters:,} parameters, {found.trained} ([model card]({card})).\n\n{score_table(found)}"


def card(name: str) -> str:
    """Return the model card of a network that is part of deblurzoo."""
    found = scores(name)
    results = kept("weights", name)
    first = results["kodak"]
    helpful = [one for one in gain_by_blur(first) if one.interval and one.interval[0] > 0]
    limit = f"It helps up to {helpful[-1].high:g} pixels of blur." if helpful else "It helps at no length of blur."
    tag = "" if name == shipped.DEFAULT else f" --checkpoint {name}"
    return f"""# {name}

{first.network.kind} with {found.parameters:,} parameters, {found.trained}. {limit}

```sh
deblurzoo deblur PHOTO{tag}
```

## Training

- **Data**: 80 % of the crops are of 91 photos under the Unsplash licence, the BSD-2-Clause licence, and free terms
  (`study/README.md` of deblurzoo lists their sources), reduced to a shorter side of 400 pixels and blurred by simulated
  hand shake. 20 % are of one video with 240 frames per second at half resolution (jeffreywolberg/
  deblurring_dataset_generator), in which a blurry image is the mean of 3 or 5 frames.
- **Recipe**: `recipe=study`: L1, Adam, cosine decay from 1e-3, batches of 8 crops of 128x128 pixels, moving average of
  the weights. Step {first.checkpoint.step}. The weights are float16, rounded after the training.
- **Command**: `python study/study.py weights --only {name}`, deblurzoo {first.deblurzoo}.

## Scores

PSNR in dB of 8-bit images. The last column is the PSNR between sharp images and the images restored from them; the
difference cannot be seen above 40 dB.

{score_table(found)}
## Gain by blur size

Kodak images, by the length of the blur of each tile of 64x64 pixels; 95 % intervals over images.

{blur_table({"gain dB": first})}
## Images

Blurry | restored | sharp, with the PSNR of the whole image. The largest gain on Kodak, {psnrs("good", results)}:

![Kodak, largest gain](good.jpg)

The smallest gain on Kodak, {psnrs("bad", results)}:

![Kodak, smallest gain](bad.jpg)

A real frame of REDS at half resolution, {psnrs("real", results)}:

![REDS](real.jpg)

## Limits

Longer blur, noise and JPEG artefacts were not part of the training. Photos of 12 megapixels are
softer at the pixel than the training images, and their blur is longer: reduce them first.
"""


def psnrs(picture: str, results: dict[str, Results]) -> str:
    """Return the PSNR of the blurry and of the restored image of a picture of the card, as text."""
    image = shown_image(picture, results[CARD[picture][0]])
    return f"{image.blurry['psnr']:.2f} dB before and {image.restored['psnr']:.2f} dB after"


def main() -> None:
    """Write the page, the scores and the cards."""
    for name in shipped.names():
        write_atomically(shipped.FOLDER / name / SCORES, (scores(name).model_dump_json(indent=2) + "\n").encode())
        write_atomically(shipped.FOLDER / name / "README.md", card(name).encode())
    write_atomically(PAGE, page().encode())


if __name__ == "__main__":
    main()
