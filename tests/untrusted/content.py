"""Content of untrusted files: a valid checkpoint, any values, and nested values with one change."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from deblurzoo.training.srn import SRNDeblur

FUZZ = settings(
    max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def checkpoint(**net: object) -> dict[str, Any]:
    """Return the content of a checkpoint of a small network."""
    module = SRNDeblur({"kernel_size": 3, "blocks": 1, "width": 0.125}, {"lr": 1e-4}, {"steps": 1, "power": 1})
    return {
        "deblurzoo": {"module": "SRNDeblur", "run_id": "0", "blur_folder": "blur"},
        "global_step": 1,
        "state_dict": module.state_dict(),
        "hyper_parameters": {**module.hparams, "net": {**module.hparams["net"], **net}},
        **{"optimizer_states": [], "lr_schedulers": []},
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def changed(draw: st.DrawFn, content: Any) -> Any:
    """Return a copy of nested dicts and lists with one drawn value, at any depth, replaced or removed."""
    keys = (
        list(content) if isinstance(content, dict) else list(range(len(content))) if isinstance(content, list) else []
    )
    if not keys or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    key = draw(st.sampled_from(keys))
    copy = content.copy()
    if draw(st.integers(0, 4)) == 0:
        del copy[key]
    else:
        copy[key] = changed(draw, content[key])
    return copy
