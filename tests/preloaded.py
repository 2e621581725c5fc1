"""Imported once by the server that forks processes: all that verbs import but numba, whose threads no fork survives."""

import wandb  # noqa: F401

import deblurzoo.benchmark
import deblurzoo.compare
import deblurzoo.data.check
import deblurzoo.data.pack
import deblurzoo.data.show
import deblurzoo.deblur
import deblurzoo.evaluate
import deblurzoo.experiments
import deblurzoo.export
import deblurzoo.page
import deblurzoo.synthesize
import deblurzoo.train
import deblurzoo.wandb_runs  # noqa: F401
