# %% [markdown]
# # Look inside SVRNN-Deblur
#
# You will see the weights that a trained SVRNN-Deblur predicts for each pixel, and their effect on a test frame.
#
# Zhang et al. (CVPR 2018) restore images with spatially variant RNNs, `h[t] = (1 - w[t]) x[t] + w[t] h[t-1]`, in four
# directions. A second network predicts the weights `w` from the same image. `make demo` trains the network used here;
# for another run of `svrnn_toy` or `svrnn_gopro`, change `RUN` or set `DEBLURZOO_RUN`.

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
FRAME = 0  # number of the test frame
CHANNELS = (0, 1)  # channels to draw

# %% [markdown]
# ## Network and test frame
#
# The network is rebuilt from the newest checkpoint; the run's `config.yaml` contains the path of the data set.

# %%
checkpoint = checkpoint_of(RUN)
trained = read_trained(checkpoint)
net = load_net(trained, checkpoint).eval()
if not isinstance(net, SVRNN) or net.variant != "full":
    raise DeblurzooError(f"{RUN} is not a full SVRNN: set RUN to a run of experiment=svrnn_toy or svrnn_gopro")

config = config_of(RUN, "set RUN to another run").content
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
# ## Weight maps (Fig. 8 of the paper)
#
# Rows are channels, and columns are scan directions. Where a map is white, w = 0 and the RNN outputs its input. Where
# it is red, w > 0 and the RNN averages with previous pixels; where it is blue, w < 0 and the RNN subtracts them. The
# weights follow the edges of the image and differ by direction.

# %%
calls = recurrences(net, blur)
show(weight_columns(calls[0].w, CHANNELS))  # first RNN

# %%
show(weight_columns(calls[-1].w, CHANNELS))  # last RNN

# %% [markdown]
# ## Feature maps (Fig. 7)
#
# The maps show the same channels before the first RNN and after the last one. Each map is scaled separately: red is
# positive, blue is negative.

# %%
show(feature_columns(calls[0].x, calls[-1].h, CHANNELS))

# %% [markdown]
# ## Receptive field, and the convolutions between the RNNs (Fig. 3)
#
# The maps show the influence of each pixel on the centre pixel, on a logarithmic scale. One direction of an RNN sees a
# line, so cascaded RNNs see a cross. Convolutions between them mix the directions, and the cross becomes an area. On
# the right is the same trained network without these convolutions.

# %%
no_convs = SVRNN(**{**trained["hyper_parameters"]["net"], "variant": "no_convs"}).eval()
no_convs.load_state_dict(net.state_dict(), strict=False)  # all but conv17, conv18 and conv19
fields = {"with convolutions": net, "without convolutions": no_convs}
show({name: receptive_field_picture(receptive_field(which, blur)) for name, which in fields.items()})

# %% [markdown]
# ## The same network without its RNNs (Fig. 7b)
#
# With weights of 0 every RNN outputs its input. The difference is the contribution of the RNNs; it is small in a
# network that was trained for minutes. `deblurzoo evaluate checkpoint=RUN data=toy switch=disable_rnn` measures it over
# the whole test split.

# %%
net.disable_rnn = True
with torch.no_grad():
    without = restore_any_size(net, blur)
net.disable_rnn = False
show({**captioned("with RNNs", restored), **captioned("without RNNs", without), **sharp_picture})
