"""The panel that says what a plan saves: its sentence, its numbers, and the timings it keeps."""

from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.digits import button, labels, texts
from tests.ui.test_plan_page import unfold
from workbench.encodings import EncodedSize, EncodedSizes
from workbench.granularity import parse_granularity
from workbench.groups import find_groups
from workbench.latency import Latency, LatencyComparison
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.saving import encode_pruned, theoretical_speedup
from workbench.staircase import Plateau, Staircase, Step
from workbench.ui import accounting_panels, bench
from workbench.ui.accounting_words import Account, is_slower, staircase_says, what_it_saves
from workbench.ui.charts.encodings import encodings_figure
from workbench.ui.charts.latency import latency_figure, staircase_figure
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT

SPARSE = {"hidden.0": 0.9, "hidden.1": 0.9}
PLANS = {
    "weight": PruningPlan(SPARSE),
    "nm:2:4": PruningPlan({"hidden.0": 0.5}, "nm:2:4"),
    "nm:4:8": PruningPlan({"hidden.0": 0.5}, "nm:4:8"),
    "block:4x4": PruningPlan(SPARSE, "block:4x4"),
    "channel": PruningPlan({"hidden.0": 0.5, "hidden.1": 0.5}, "channel"),
}


def timed(speedup: float, low: float, high: float, runtime: str = "torch") -> LatencyComparison:
    one, other = Latency(2.0, 1.9, 2.2, 60, 1, 1), Latency(2.0 / speedup, 0.9, 1.2, 60, 1, 1)
    return LatencyComparison(runtime, one, other, speedup, low, high)


SAME = timed(1.01, 0.98, 1.03)
FASTER = timed(1.84, 1.7, 1.9, "onnxruntime")
SLOWER = timed(0.8, 0.7, 0.9)
UNCLEAR = timed(0.9, 0.5, 1.4)


def account(plan: PruningPlan, *speedups: LatencyComparison) -> Account:
    pruned = prune(digits.model(), plan)
    return Account(
        parse_granularity(plan.granularity), any(plan.sparsities.values()), encode_pruned(pruned),
        theoretical_speedup(pruned), speedups,
    )  # fmt: skip


def said(plan: PruningPlan, *speedups: LatencyComparison) -> str:
    return what_it_saves(account(plan, *speedups)).replace("\N{NO-BREAK SPACE}", " ")


# The sentence


def test_zeros_shrink_the_zipped_file_and_nothing_else():
    own = account(PLANS["weight"])
    words = said(PLANS["weight"])
    zipped = own.sizes.zipped_bytes / own.sizes.dense_file_bytes
    assert words.startswith(
        f"**{own.sizes.sparsity:.0%} of the weights are zero**".replace("%", " %")
    )
    assert f"shrinks only when zipped, to **{zipped:.0%}**".replace("%", " %") in words
    assert "takes **as long as before**, because PyTorch and ONNX Runtime multiply" in words
    assert words.endswith("**To be faster everywhere, remove channels instead.**")
    assert "CSR" not in words, "at 90 % it pays"


def test_under_break_even_it_says_that_sparse_rows_grow():
    few = PruningPlan({"hidden.0": 0.2, "hidden.1": 0.2})
    csr = account(few).sizes.by_name["csr"]
    share = csr.num_bytes / account(few).sizes.dense_bytes
    assert share > 1
    words = f"grow to {share:.0%}, for they pay only from {csr.break_even:.0%} zeros on"
    assert words.replace("%", " %") in said(few)


def test_what_was_measured_is_said_as_it_was_measured():
    assert "(measured: 1.01× in PyTorch), because" in said(PLANS["weight"], SAME)
    assert "as long as before** (measured: 0.90× in PyTorch)" in said(PLANS["weight"], UNCLEAR)
    words = said(PLANS["weight"], SAME, FASTER)
    assert "as long as before" not in words
    assert "no faster in PyTorch (1.01×) and **1.84× as fast** in ONNX Runtime; expect no" in words


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nm:2:4", "Only the sparse tensor cores of NVIDIA GPUs gain from this pattern."),
        ("nm:4:8", "No common runtime gains from 4:8; GPUs take 2:4."),
        ("block:4x4", "Only special block-sparse kernels gain from this pattern."),
    ],
)
def test_patterns_say_who_can_use_them(name, part):
    words = said(PLANS[name])
    assert part in words
    assert "or packed by its pattern, to " in words
    assert "as long as before" in words


def test_kernels_pack_by_kernel():
    sizes = account(PLANS["block:4x4"]).sizes
    kernels = Account(parse_granularity("kernel"), True, sizes, 2.0)
    assert "packed by its pattern" in what_it_saves(kernels)


def test_removed_channels_shrink_the_file_and_only_a_measurement_tells_the_time():
    sizes = account(PLANS["channel"]).sizes
    words = said(PLANS["channel"])
    assert words.startswith(f"**Whole channels go, and {sizes.removed:.0%}".replace("%", " %"))
    file = sizes.file_bytes / sizes.dense_file_bytes
    assert f"shrinks to **{file:.0%}**".replace("%", " %") in words
    assert "only a measurement can tell" in words
    theory = account(PLANS["channel"]).theoretical_speedup
    faster = said(PLANS["channel"], FASTER)
    assert f"is **1.84× as fast** in ONNX Runtime (the multiplications promise {theory:.1f}×)" in (
        faster
    )
    assert faster.endswith("×).")
    assert "is **1.2× to 4.0× as fast** in PyTorch" in said(PLANS["channel"], timed(2, 1.2, 4))
    unclear = said(PLANS["channel"], FASTER, UNCLEAR)
    assert "ONNX Runtime and too unsteady to tell in PyTorch (0.90×)" in unclear
    slower = said(PLANS["channel"], SLOWER)
    assert "**slower** (0.80× as fast) in PyTorch" in slower
    assert "keep multiples of 8" in slower
    assert "cut deeper, or measure with more images" in said(PLANS["channel"], SAME)


def test_a_dense_plan_saves_nothing():
    assert said(PruningPlan()).startswith("**This plan prunes nothing**")


# Staircases in words


def staircase(*plateaus: tuple[int, int, float], beaten: int = 0) -> Staircase:
    levels = tuple(Plateau(*plateau) for plateau in plateaus)
    steps = tuple(
        Step(p.last, Latency(p.median_ms, p.median_ms, p.median_ms, 30, 1, 1), 1, 1, 1, beaten)
        for p in levels
    )
    return Staircase("hidden.0", "neuron", 128, "torch", steps, levels)


def test_a_staircase_tells_what_is_free():
    steps = staircase((8, 32, 1.0), (40, 128, 2.0))
    assert "up to 32 would take the same time" in staircase_says(steps, 20)
    assert "the most that this level of the time allows" in staircase_says(steps, 32)
    assert "up to 128 would" in staircase_says(steps, 36), "between two levels the upper one"
    assert "2 levels: 1 ms with 32 of 128 kept, 2 ms with all" in staircase_says(steps)
    assert "2 levels" in staircase_says(steps, 128), "nothing is cut"
    assert "does not change the time" in staircase_says(staircase((8, 128, 1.0)))


def test_a_staircase_warns_where_a_cut_is_slower():
    steps = staircase((8, 32, 3.0), (40, 128, 2.0), beaten=128)
    assert "**Keeping 32 is slower than keeping 128**" in staircase_says(steps, 32)
    assert [is_slower(steps, kept) for kept in (32, 31, None)] == [True, False, False]
    figure = staircase_figure(steps, kept=32)
    assert {trace.marker.symbol for trace in figure.data if trace.mode == "markers"} == {"x"}
    assert figure.layout.shapes[0].x0 == 32


# Charts


def test_bars_are_marked_where_an_encoding_is_larger_or_gains_nothing():
    sizes = EncodedSizes(
        "weight",
        (EncodedSize("fp32", 100, 0.0), EncodedSize("csr", 140, 0.5),
         EncodedSize("zstd", 60, 0.0), EncodedSize("nm", 100, 0.06, False)),
        0.3, 0.0, 110, 110, 100,
    )  # fmt: skip
    bar = encodings_figure(sizes, {name: name for name in sizes.by_name}).data[0]
    rgb = [colour.rsplit(",", 1)[0] for colour in bar.marker.color]
    wanted = [DENSE, HIGHLIGHT, KEPT, DENSE]
    assert rgb == [f"rgba({int(c[1:3], 16)}, {int(c[3:5], 16)}, {int(c[5:], 16)}" for c in wanted]
    assert bar.marker.pattern.shape == ("", "/", "", "")
    assert bar.text[1] == "140 B · 140 %"


def test_times_are_drawn_with_their_quartiles():
    dense, pruned = latency_figure([SAME, FASTER]).data
    assert dense.x == (2, 2)
    assert not {*dense.y} & {*pruned.y}, "a row for each"
    assert dense.marker.symbol != pruned.marker.symbol
    assert dense.error_x.array == pytest.approx((0.2, 0.2))


def test_a_busy_machine_does_not_push_the_times_into_a_corner():
    busy = replace(SAME, dense=replace(SAME.dense, high_ms=90.0))
    assert latency_figure([busy]).layout.xaxis.range[1] == pytest.approx(2.5 * 2)
    steps = staircase((8, 64, 1.0), (72, 128, 1.1))
    low, high = staircase_figure(steps).layout.yaxis.range
    assert 0 < low < 1.0 < 1.1 < high
    assert staircase_figure(staircase((8, 64, 0.1), (72, 128, 1.1))).layout.yaxis.range[0] == 0


# On the page


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


def opened(open_app, plan=PLANS["weight"], view: str = "", ws: str = ""):
    plan = replace(plan, model=digits.model().digest)
    app = unfold(open_app(ws=ws or digits.workspace(plan), page="plan"), "account_open")
    if view:
        app.session_state["account_view"] = view
        app.run()
    assert not app.exception
    assert not app.error
    return app


def test_it_costs_nothing_until_it_is_opened(open_app, registry, monkeypatch):
    asked = []
    monkeypatch.setattr(accounting_panels, "_measured", lambda *a: asked.append(a))
    app = open_app(ws=digits.workspace(PLANS["weight"]), page="plan")
    assert any("not smaller" in box.label for box in app.expander)
    assert not asked


@pytest.mark.parametrize("name", PLANS)
def test_the_panel_shows_the_sentence_the_bytes_and_the_file(open_app, registry, name):
    app = opened(open_app, PLANS[name])
    assert what_it_saves(account(PLANS[name])) in texts(app)
    (table,) = [t.value for t in app.table if "Encoding" in t.value]
    assert len(table) == 12
    shown = dict(zip(table["Encoding"], table["Smaller from"], strict=True))
    csr = next(value for title, value in shown.items() if title.startswith("**CSR, 32-bit"))
    assert csr.startswith("5"), "about half of the weights"
    assert any("Written to disk and measured" in caption.value for caption in app.caption)


def test_a_dense_plan_has_a_panel_too(open_app, registry):
    assert "This plan prunes nothing" in texts(opened(open_app, PruningPlan()))


def test_a_click_measures_this_plan_in_both_runtimes(open_app, registry):
    app = opened(open_app, view="time")
    next(box for box in app.number_input if box.label == "Images at once").set_value(4)
    button(app, "Measure on this machine").click().run()
    ((_, kind, request),) = registry.requests
    assert (kind, request["batch"], request["threads"]) == ("latency", 4, 1)
    assert list(request["keys"]) == ["torch", "onnxruntime"]
    assert PruningPlan.from_dict(request["plan"]).sparsities == SPARSE
    assert "Stop" in labels(app)
    assert button(app, "Measure on this machine").disabled


def test_what_was_measured_is_there_after_a_reload_and_for_its_plan_only(open_app, registry):
    plan = replace(PLANS["weight"], model=digits.model().digest)
    ws = digits.workspace(plan)
    app = opened(open_app, view="time", ws=ws)
    button(app, "Measure on this machine").click().run()
    (_, _, request) = registry.requests[-1]
    digits.do("latency", ws, request | {"keys": {"torch": request["keys"]["torch"]}})
    registry.job = replace(registry.job, state="done", seconds=3.0)
    app = opened(open_app, view="time", ws=ws)
    (table,) = [t.value for t in app.table if "Runtime" in t.value]
    assert list(table["Runtime"]) == ["PyTorch"]
    assert "in PyTorch" in texts(app)
    assert "done in 3 s" in digits.captions(app)
    bench.store().save_plan(ws, replace(plan, seed=5))
    app = opened(open_app, view="time", ws=ws)
    assert "Not measured for this plan yet" in app.info[-1].value


def test_a_staircase_is_measured_kept_and_drawn(open_app, registry):
    plan = replace(PLANS["channel"], model=digits.model().digest)
    ws = digits.workspace(plan)
    app = opened(open_app, view="staircase", ws=ws)
    group = next(box for box in app.selectbox if box.label == "Group")
    assert group.options == [g.name for g in find_groups(digits.model(), "channel").prunable]
    next(box for box in app.selectbox if box.label == "Runtime").set_value("torch")
    app.run()
    next(b for b in app.button if b.key == "staircase_measure").click().run()
    (_, kind, request) = registry.requests[-1]
    assert (kind, request["group"], request["runtime"]) == ("staircase", "hidden.0", "torch")
    digits.do("staircase", ws, request)
    registry.job = None
    app = opened(open_app, view="staircase", ws=ws)
    assert len(app.get("plotly_chart")) == 1
    told = texts(app) + "".join(warning.value for warning in app.warning)
    assert "The plan keeps 64" in told or "**Keeping 64 is slower" in told
