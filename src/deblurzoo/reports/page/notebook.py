"""Display of the page's figures and images in a notebook."""

import html
import textwrap

import numpy as np
import plotly.express as px
import plotly.graph_objects as go

from deblurzoo.media import Image
from deblurzoo.reports.page.figures import Figure

_WIDTH = 1000
"""Approximate width of a notebook cell in pixels. Figures adapt their width to the cell, but not their height."""
_LETTERS = 150
"""Number of characters of a heading that fit into `_WIDTH`."""


def plot(figure: Figure) -> go.Figure:
    """Return a figure from `figures.figures` as a plotly figure, with the networks' names in a legend."""
    traces = [{key: value for key, value in trace.items() if key != "network"} for trace in figure["data"]]
    plotted = go.Figure(traces, figure["layout"])
    plotted.update_shapes(layer="below", line={"color": "#777", "dash": "dash", "width": 1.5})
    return plotted.update_layout(
        template="plotly_white",
        height=380,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )


def show(pictures: dict[str, Image]) -> go.Figure:
    """Return a figure of named images side by side, with linked zoom; all images must have the same size."""
    figure = px.imshow(np.stack(list(pictures.values())), facet_col=0, facet_col_spacing=0.005, binary_string=True)
    headings = [textwrap.wrap(name, _LETTERS // len(pictures)) for name in pictures]
    for heading, lines in zip(figure.layout.annotations, headings, strict=True):
        heading.text = "<br>".join(map(html.escape, lines))
    top = 12 + 16 * max(map(len, headings))
    height, width = next(iter(pictures.values())).shape[:2]
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_traces(hoverinfo="skip", hovertemplate=None)
    return figure.update_layout(
        height=round(_WIDTH / len(pictures) * height / width) + top, margin={"l": 0, "r": 0, "t": top, "b": 0}
    )
