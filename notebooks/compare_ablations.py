# %% [markdown]
# # Compare ablations
#
# From run folders to a table, curves and pictures. Point `RUNS` at any folder of evaluated runs: `make demo` makes
# `runs/demo`, a sweep one folder of its own. Another one: change the line, or set `DEBLURZOO_RUNS`.

# %%
import os
from pathlib import Path

import plotly.graph_objects as go
from IPython.display import Markdown, display

from deblurzoo.config import rebuild
from deblurzoo.data import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image
from deblurzoo.reports.page import Evaluation, sections
from deblurzoo.reports.page.figures import figures
from deblurzoo.reports.page.notebook import plot, show
from deblurzoo.reports.table import as_markdown, gather

if Path.cwd().name == "notebooks":  # where Jupyter starts; paths are relative to the top of the checkout
    os.chdir("..")

RUNS = Path(os.environ.get("DEBLURZOO_RUNS", "runs/demo"))

# %% [markdown]
# ## The table
#
# Ours (the paper's), if a paper has measured the same network under the same conditions. Figures of different data
# sets, protocols or frames never share a table. Runs without a result stand below with the reason.

# %%
files, failed = gather([RUNS])
Markdown(as_markdown(list(files.values()), failed))

# %% [markdown]
# What follows is about one set of conditions: the one under which most networks were measured.

# %%
evaluations = [Evaluation.of(file, results) for file, results in files.items()]
networks = max(sections(evaluations), key=len)
drawn = figures(networks)

# %% [markdown]
# ## How they learned
#
# The PSNR of some held-out frames is watched, never used to choose. Training losses compare only where networks
# minimise the same one; `deblurzoo.reports.page.figures.read_curves` has the numbers.

# %%
display(*(plot(drawn[name]) for name in ("val", "loss") if name in drawn))

# %% [markdown]
# ## What quality costs
#
# PSNR against the time of one image on the machine that evaluated, and against the number of parameters: what lies
# further up and to the left is better.

# %%
display(*(plot(drawn[name]) for name in ("time", "size")))

# %% [markdown]
# ## Two networks, image by image
#
# A mean hides whether a network is a little better everywhere or much better somewhere. Here are the two best; choose
# others by their names.


# %%
def psnr_by_image(network):
    return {(image.clip, image.frame): image.restored["psnr"] for image in network.results.images}


if len(networks) < 2:
    raise DeblurzooError(f"{RUNS} has one network alone: evaluate another on the same frames to compare them")
by_name = {network.name: network for network in sorted(networks, key=lambda n: n.results.restored["psnr"])}
second, best = list(by_name.values())[-2:]  # or by_name["svrnn_toy"], by_name["srn_toy"]

psnr = {network.name: psnr_by_image(network) for network in (second, best)}
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
# ## Where they differ most
#
# The images with the largest difference, either way. Drag to zoom: all four follow. The blurry and sharp frames are
# read from the data set that the evaluation names, so it must still be there.

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
