# %% [markdown]
# # Compare ablations
#
# You will see how much each part of SVRNN-Deblur contributes: the RNNs, the convolutions between them, the skips.
#
# The runs come from a sweep over toy clips, which takes about ten minutes on two cores:
#
#     deblurzoo data toy --out data/toy
#     deblurzoo train -m experiment=svrnn_toy model.net.variant=full,no_rnns,no_convs,no_skip trainer=cpu
#
# Without the sweep, the notebook compares the three networks of `make demo`. For other runs, change `RUNS` or set
# `DEBLURZOO_RUNS`. Toy clips show that the comparison works; they do not show which architecture is better.

# %%
import os
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from IPython.display import Markdown, display

from deblurzoo.config import rebuild
from deblurzoo.data import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image
from deblurzoo.reports.gather import gather
from deblurzoo.reports.page import Evaluation, sections
from deblurzoo.reports.page.figures import figures
from deblurzoo.reports.page.notebook import plot, show
from deblurzoo.reports.table import as_markdown

if Path.cwd().name == "notebooks":  # where Jupyter starts; paths are relative to the top of the checkout
    os.chdir("..")

RUNS = Path(os.environ.get("DEBLURZOO_RUNS", "runs/svrnn_toy" if Path("runs/svrnn_toy").is_dir() else "runs/demo"))

# %% [markdown]
# ## The table
#
# The paper's value is in brackets if the paper measured the same network under the same conditions. Results of
# different data sets, protocols or frames are in separate tables. Runs without a result are listed with the reason.

# %%
files, failed = gather([RUNS])
Markdown(as_markdown(list(files.values()), failed))

# %% [markdown]
# The plots below use the largest group of networks that were evaluated under the same conditions.

# %%
evaluations = [Evaluation.of(file, results) for file, results in files.items()]
networks = max(sections(evaluations), key=len)
drawn = figures(networks)

# %% [markdown]
# ## The ablation
#
# Each bar is the mean over the images of a network's PSNR minus the full network's PSNR, with a 95 % interval of the
# mean (bootstrap over images). If the interval includes 0, the images do not decide which network is better. Unless
# exactly one of the runs is a full network, the reference is the best network.


# %%
def psnr_by_image(network):
    return {(image.clip, image.frame): image.restored["psnr"] for image in network.results.images}


if len(networks) < 2:
    raise DeblurzooError(f"{RUNS} has only one network: evaluate another one on the same frames to compare them")
ranking = sorted(networks, key=lambda network: network.results.restored["psnr"])
full = [network for network in ranking if network.results.network.arguments.get("variant") == "full"]
reference = full[-1] if len(full) == 1 else ranking[-1]
psnr = {network.name: psnr_by_image(network) for network in ranking}

ablation = go.Figure()
draw = np.random.default_rng(0)
for network in ranking:
    if network is not reference:
        differences = np.array(
            [psnr[network.name][image] - psnr[reference.name][image] for image in psnr[network.name]]
        )
        means = draw.choice(differences, (2000, len(differences))).mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        mean = differences.mean()
        ablation.add_bar(
            y=[network.name],
            x=[mean],
            orientation="h",
            marker_color=network.colour,
            error_x={"array": [high - mean], "arrayminus": [mean - low]},
        )
        print(f"{network.name}: {mean:+.3f} dB ({low:+.3f} to {high:+.3f})")
ablation.update_xaxes(title=f"PSNR minus PSNR of {reference.name} (dB)")
ablation.update_layout(
    template="plotly_white", height=120 + 50 * len(networks), margin={"t": 20, "b": 50}, showlegend=False
)

# %% [markdown]
# ## Training curves
#
# Validation PSNR is computed on a fixed subset of the test frames; no checkpoint is chosen by it. Training losses are
# comparable only between networks with the same loss. `deblurzoo.reports.page.figures.read_curves` returns the values.

# %%
display(*(plot(drawn[name]) for name in ("val", "loss") if name in drawn))

# %% [markdown]
# ## PSNR against time and size
#
# The x-axes are the time of one image on the machine that ran the evaluation, and the number of parameters. Better
# networks are further up and further to the left.

# %%
display(*(plot(drawn[name]) for name in ("time", "size")))

# %% [markdown]
# ## Two networks, image by image
#
# The same mean can come from a small gain everywhere or from a large gain on a few images. Here are the two best
# networks; choose other ones by name.

# %%
by_name = {network.name: network for network in ranking}
second, best = list(by_name.values())[-2:]  # or by_name["svrnn_toy"], by_name["srn_toy"]

gain = {image: psnr[best.name][image] - psnr[second.name][image] for image in psnr[best.name]}
ranked = sorted(gain, key=gain.get)
print(f"{best.name} is better than {second.name} in {sum(g > 0 for g in gain.values())} of {len(gain)} images")

# %%
bars = go.Figure()
worse, better = [image for image in ranked if gain[image] < 0], [image for image in ranked if gain[image] >= 0]
for network, images in ((second, worse), (best, better)):
    bars.add_bar(
        x=["/".join(image) for image in images],
        y=[gain[image] for image in images],
        name=f"{network.name} is better",
        marker_color=network.colour,
    )
bars.update_xaxes(title="image", showticklabels=False).update_yaxes(title="difference (dB)")
bars.update_layout(template="plotly_white", height=380, margin={"t": 40, "b": 50}, showlegend=True)

# %% [markdown]
# ## The images that differ most
#
# These images have the largest absolute difference in PSNR between the two networks. Drag to zoom: all four panels zoom
# together. Blurry and sharp frames are read from the data set of the evaluation.

# %%
source = rebuild(best.results.config, "data", Source, best.evaluation.folder / "results.json")
samples = {(sample.clip, sample.frame): sample for sample in source.samples("test", frames=1)}

for clip, frame in sorted(gain, key=lambda image: -abs(gain[image]))[:3]:
    sample = samples[clip, frame]
    layers = {f"{clip}/{frame}, blurry": sample.blur[0].read()}
    for network in (second, best):
        name = f"{network.name}, {psnr[network.name][clip, frame]:.2f} dB"
        layers[name] = read_image(network.evaluation.folder / "restored" / clip / f"{frame}.png")
    layers["sharp"] = sample.sharp.read()
    display(show(layers))
