"""Choosing a criterion: which ones there are, what they look at, and where they cannot."""

from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.conftest import go_to
from tests.ui.test_plan_granularities import choose
from tests.ui.test_plan_page import number, saved, select, spread
from workbench.allocation import allocate
from workbench.criteria import CRITERIA, fitting_criteria
from workbench.model import with_data
from workbench.plan import PruningPlan
from workbench.ui import bench, session
from workbench.ui.errors import plain


@pytest.fixture
def channels() -> str:
    plan = PruningPlan({"hidden.0": 0.5}, "channel", model=digits.model().digest)
    return digits.workspace(plan)


def titles(names) -> list[str]:
    return [CRITERIA[name].title for name in names]


def test_every_criterion_that_fits_can_be_chosen(open_app, channels) -> None:
    app = open_app(channels, "plan")
    assert select(app, "Criterion").options == titles(CRITERIA)
    app = open_app(digits.workspace({"hidden.0": 0.5}), "plan")
    assert select(app, "Criterion").options == titles(fitting_criteria("weight"))
    assert CRITERIA["apoz"].title not in select(app, "Criterion").options


def test_a_plan_by_a_criterion_that_looks_at_images(open_app, channels) -> None:
    app = open_app(channels, "plan")
    select(app, "Criterion").set_value("fisher").run()
    assert saved(app).criterion == "fisher"
    assert saved(app).sparsities == {"hidden.0": 0.5}
    assert number(app, "Seed").disabled
    select(app, "Criterion").set_value("random").run()
    assert not number(app, "Seed").disabled
    select(app, "Criterion").set_value("fisher").run()
    select(app, "Target").set_value("sparsity").run()
    spread(app, 50, Allocation="global")
    seeing = with_data(digits.model(), digits.data())
    expected = allocate(
        seeing, "global", sparsity=0.5, criterion="fisher", granularity="channel", protected=()
    )
    assert saved(app) == expected


def test_a_criterion_of_channels_gives_way_to_magnitude_at_single_weights(
    open_app, channels
) -> None:
    app = open_app(channels, "plan")
    select(app, "Criterion").set_value("entropy").run()
    choose(app, "weight")
    assert (saved(app).granularity, saved(app).criterion) == ("weight", "l1")
    choose(app, "channel")
    assert saved(app).criterion == "entropy"


def test_a_plan_that_its_criterion_cannot_rank_says_so_once(open_app) -> None:
    plan = PruningPlan({"hidden.0": 0.5}, "weight", "entropy", model=digits.model().digest)
    app = open_app(digits.workspace(plan), "plan")
    (told,) = app.error
    message = plain("Criterion 'entropy' ranks whole channels, not single weights.")
    assert told.value.startswith(f"**{message}**")
    select(app, "Criterion").set_value("l1").run()
    assert not app.error


def test_without_data_those_that_look_at_images_are_not_offered(monkeypatch, open_app) -> None:
    plan = PruningPlan({"hidden.0": 0.5}, "channel", model=digits.model().digest)
    workspace = digits.workspace(plan)
    real = session.workspace
    monkeypatch.setattr(session, "workspace", lambda: replace(real(), data_ref=None))
    app = open_app(workspace, "plan")
    assert select(app, "Criterion").options == titles(fitting_criteria("channel", images=False))
    assert "once the model has data" in select(app, "Criterion").help
    assert not app.error
    bench.store().save_plan(workspace, replace(plan, criterion="taylor"))
    app = open_app(workspace, "plan")
    assert [one.value for one in app.error][:1] == [
        f"**{plain('There are no images for digits-mlp yet.')}**\n\n"
        f"{plain('Choose or upload data on the model page.')}"
    ]
    assert len(app.error) == 1


def test_the_forms_of_sensitivity_and_arena_offer_what_fits(open_app, channels) -> None:
    app = open_app(channels, "plan")
    select(app, "Criterion").set_value("obs").run()
    for page in ("sensitivity", "arena"):
        app = go_to(app, page)
        assert select(app, "Criterion").options == titles(CRITERIA)
        select(app, "Granularity").set_value("weight").run()
        box = select(app, "Criterion")
        assert box.options == titles(fitting_criteria("weight"))
        assert not app.error
