"""Where the weights lie: all layers in one picture, and one layer in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from workbench.plan import num_pruned
from workbench.ui import bench, session
from workbench.ui.charts import histogram_figure, show_chart, weights_figure
from workbench.ui.errors import fragment
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import is_dark, percent, plain_number
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.distributions import LayerDistribution

OVERVIEW_HEIGHT = 400
EXPLORER_HEIGHT = 1000
_HEIGHT = 450
_USUAL_SPARSITY = 0.5
_RANKED_BY_MAGNITUDE = ("l1", "l2", "lamp")
_CHOSEN = "chosen_layer"


def show_overview() -> None:
    """The weights of all layers in one small picture."""
    layers = bench.distributions(session.model_ref())
    _show_all(layers, key="weights_overview", height=OVERVIEW_HEIGHT)


def show_explorer() -> None:
    """All layers in one picture; click one, or choose it by name, for its full histogram."""
    fragment(_explore)


def _explore() -> None:
    layers = bench.distributions(session.model_ref())
    names = [layer.layer_name for layer in layers]
    if st.session_state.get(_CHOSEN) not in names:
        st.session_state[_CHOSEN] = names[0]
    chosen = names.index(st.session_state[_CHOSEN])
    _show_all(layers, key="weights", height=_HEIGHT, chosen=chosen)
    left, right = st.columns([1, 2], gap="large")
    with left:
        name = st.selectbox(
            _("Layer"),
            names,
            key=_CHOSEN,
            persist_state="session",
            help=_("Or click a column of the picture above."),
        )
        sparsity = _choose_sparsity(name)
        _show_numbers(layers[names.index(name)])
    with right:
        _show_histogram(layers[names.index(name)], sparsity)


def _show_all(
    layers: Sequence[LayerDistribution], *, key: str, height: int, chosen: int | None = None
) -> None:
    """The heat map; a click chooses a layer where one is chosen already."""

    def choose(index: int) -> None:
        st.session_state[_CHOSEN] = layers[index].layer_name

    cuts = _cuts(layers)
    show_chart(
        weights_figure(layers, cuts=cuts, chosen=chosen, dark=is_dark(), height=height),
        key=key,
        alt=_("Heat map of the absolute weights of {count} layers. {takeaway}").format(
            count=len(layers), takeaway=_takeaway(layers, cuts)
        ),
        takeaway=_takeaway(layers, cuts),
        on_click=choose if chosen is not None else None,
    )


def _cuts(layers: Sequence[LayerDistribution]) -> list[float]:
    """Per layer the absolute weight at which the current plan cuts, 0 where it does not."""
    plan = session.plan()
    if plan.granularity != "weight" or plan.criterion not in _RANKED_BY_MAGNITUDE:
        return [0.0] * len(layers)
    return [layer.threshold(plan.sparsities.get(layer.layer_name, 0.0)) for layer in layers]


def _takeaway(layers: Sequence[LayerDistribution], cuts: Sequence[float]) -> str:
    """Which layers hold the largest and the smallest weights, and what the plan takes."""
    by_median = sorted((layer.threshold(0.5), layer.layer_name) for layer in layers)
    (low, smallest), (high, largest) = by_median[0], by_median[-1]
    sentence = _(
        "Half of the weights are below {high} in {largest}, but below {low} in {smallest}."
    ).format(high=f"{high:.2g}", largest=largest, low=f"{low:.2g}", smallest=smallest)
    count = sum(cut > 0 for cut in cuts)
    if not count:
        return sentence
    pruned = ngettext(
        "The current plan prunes {n} layer.", "The current plan prunes {n} layers.", count
    )
    return f"{sentence} {pruned.format(n=count)}"


def _choose_sparsity(name: str) -> float:
    """What sparsity to look at: the plan's for this layer, until it is changed."""
    plan = session.plan()
    planned = plan.sparsities.get(name) if plan.granularity == "weight" else None
    planned = _USUAL_SPARSITY if planned is None else planned
    chosen = st.slider(
        _("Sparsity to look at"), 0, 99, round(100 * planned), format="%d %%",
        key=f"look_{plan.digest}_{name}",
        help=_("{term} The plan itself stays as it is.").format(term=explain("sparsity")),
    )  # fmt: skip
    return chosen / 100


def _show_numbers(layer: LayerDistribution) -> None:
    """Moments of one layer."""
    first, second = st.columns(2), st.columns(2)
    numbers = (
        (first[0], _("Mean"), layer.mean, None),
        (first[1], _("Spread"), layer.std, explain("spread")),
        (second[0], _("Kurtosis"), layer.excess_kurtosis, explain("kurtosis")),
        (second[1], _("Largest"), max(-layer.minimum, layer.maximum), explain("largest")),
    )
    for column, label, value, meaning in numbers:
        column.metric(label, plain_number(value), help=meaning)


def _show_histogram(layer: LayerDistribution, sparsity: float) -> None:
    """The full histogram of one layer, and what a sparsity would take."""
    ref, name = session.model_ref(), layer.layer_name
    histogram = bench.histogram(ref, name)
    threshold = bench.threshold(ref, name, sparsity)
    count = num_pruned(sparsity, layer.num_weights)
    st.markdown(f"**{_('All weights of the layer')}**")
    takeaway = _(
        "Ranked by magnitude, a sparsity of {sparsity} prunes {count:,} of {total:,} weights: "
        "the threshold is {threshold}."
    ).format(
        sparsity=percent(sparsity, 0),
        count=count,
        total=layer.num_weights,
        threshold=plain_number(threshold),
    )
    if histogram.num_zeros:
        zeros = ngettext(
            "{n:,} weight that is zero already is not drawn.",
            "{n:,} weights that are zero already are not drawn.",
            histogram.num_zeros,
        )
        takeaway = f"{takeaway} {zeros.format(n=histogram.num_zeros)}"
    show_chart(
        histogram_figure(histogram.edges, histogram.counts, threshold),
        key="histogram",
        alt=_("Histogram of the weights of {layer}. {takeaway}").format(
            layer=name, takeaway=takeaway
        ),
        takeaway=takeaway,
    )
