# %% [markdown]
# # Look inside SVRNN-Deblur
#
# Zhang et al. (CVPR 2018) restore with spatially variant RNNs: `h[t] = (1 - w[t]) x[t] + w[t] h[t-1]` in four
# directions, with weights `w` that another network makes for every pixel. Here is what a trained one does with a frame
# it has not seen. Point `RUN` at a run of `svrnn_toy` or `svrnn_gopro`: change the line, or set `DEBLURZOO_RUN`.

# %%
import os
from pathlib import Path

import torch

from deblurzoo.config import rebuild
from deblurzoo.data import Source
from deblurzoo.data.datamodule import FullFrames
from deblurzoo.errors import DeblurzooError
from deblurzoo.metrics.batches import as_images
from deblurzoo.metrics.psnr_ssim import image_psnr
from deblurzoo.nets import SVRNN
from deblurzoo.nets.base import restore_any_size
from deblurzoo.pictures.internals import (
    feature_columns,
    receptive_field,
    receptive_field_picture,
    recurrences,
    weight_columns,
)
from deblurzoo.reports.page.notebook import show
from deblurzoo.reports.run_folder import config_of
from deblurzoo.training.checkpoints import checkpoint_of, load_net, read_trained

if Path.cwd().name == "notebooks":  # where Jupyter starts; paths are relative to the top of the checkout
    os.chdir("..")

RUN = Path(os.environ.get("DEBLURZOO_RUN", "runs/demo/svrnn_toy"))
FRAME = 0  # which of the held-out frames
CHANNELS = (0, 1)  # which of the maps to draw

# %% [markdown]
# ## A network and a held-out frame
#
# The newest checkpoint rebuilds its own network; the run's `config.yaml` says where the data are.

# %%
checkpoint = checkpoint_of(RUN)
trained = read_trained(checkpoint)
net = load_net(trained, checkpoint).eval()
if not isinstance(net, SVRNN) or net.variant != "full":
    raise DeblurzooError(f"{RUN} is not a full SVRNN: set RUN to a run of experiment=svrnn_toy or svrnn_gopro")

config = config_of(RUN, "set RUN to another run").model_dump()
source = rebuild(config, "data", Source, RUN / "config.yaml")
batch = FullFrames(source.samples("test", net.frames))[FRAME]
blur, sharp = batch.blur[None] / 255, batch.sharp[None] / 255  # (1, 1, 3, H, W) and (1, 3, H, W) in [0, 1]


def captioned(name, image):
    (picture,), (sharp_one,) = as_images(image), as_images(sharp)
    return {f"{name}, {image_psnr(picture, sharp_one):.2f} dB": picture}


with torch.no_grad():
    restored = restore_any_size(net, blur)
blurry_picture = captioned(f"{batch.clip}/{batch.frame}, blurry", blur[:, 0])
sharp_picture = {"sharp": batch.sharp.permute(1, 2, 0).numpy()}
show({**blurry_picture, **captioned("restored", restored), **sharp_picture})

# %% [markdown]
# ## The weights: where it remembers (figure 8)
#
# A row is a channel, a column a direction. White pixels are taken as they are; red ones go on with what came before,
# blue ones with its negative. Edges show: the weights follow what is in the picture, and each direction has its own.

# %%
calls = recurrences(net, blur)
show(weight_columns(calls[0].w, CHANNELS))  # of the first RNN

# %%
show(weight_columns(calls[-1].w, CHANNELS))  # of the last

# %% [markdown]
# ## What the RNNs make of the features (figure 7)
#
# The same channels before the first RNN and after the last. Each map has its own scale: red is positive, blue negative.

# %%
show(feature_columns(calls[0].x, calls[-1].h, CHANNELS))

# %% [markdown]
# ## Why there are convolutions between the RNNs (figure 3)
#
# How much each pixel counts for the one in the middle, on a logarithmic scale. A direction alone sees a line, so that
# RNNs in cascade see a cross; convolutions between them mix the directions, and the cross becomes an area.
# The right one is the same trained network with these convolutions taken out.

# %%
no_convs = SVRNN(**{**trained["hyper_parameters"]["net"], "variant": "no_convs"}).eval()
no_convs.load_state_dict(net.state_dict(), strict=False)  # all but conv17, conv18 and conv19
fields = {"with convolutions": net, "without them": no_convs}
show({name: receptive_field_picture(receptive_field(which, blur)) for name, which in fields.items()})

# %% [markdown]
# ## The same network without its RNNs (figure 7b)
#
# With weights 0 every RNN gives back what it gets. The difference is what the RNNs contribute: next to nothing in a
# network that was trained for minutes. `deblurzoo evaluate checkpoint=RUN data=toy switch=disable_rnn` measures it over
# the whole test split.

# %%
net.disable_rnn = True
with torch.no_grad():
    without = restore_any_size(net, blur)
net.disable_rnn = False
show({**captioned("with RNNs", restored), **captioned("without them", without), **sharp_picture})
