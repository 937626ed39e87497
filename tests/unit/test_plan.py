"""The plan: a frozen value with an exact count and named refusals."""

import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import PlanError, SparsityError
from workbench.plan import PruningPlan, num_pruned

layer_names = st.text(min_size=1, max_size=8)
plans = st.builds(
    PruningPlan,
    st.dictionaries(layer_names, st.floats(0, 1, exclude_max=True), max_size=5),
    criterion=st.sampled_from(["l1", "l2", "random"]),
    allocation=st.sampled_from(["by_hand", "uniform", "global"]),
    seed=st.integers(0, 2**31),
    model=st.sampled_from(["", "0123456789abcdef"]),
)


@given(plans)
def test_a_plan_survives_dict_and_pickle(plan: PruningPlan) -> None:
    assert PruningPlan.from_dict(plan.to_dict()) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert hash(PruningPlan.from_dict(plan.to_dict())) == hash(plan)


def test_a_plan_cannot_be_changed() -> None:
    plan = PruningPlan({"fc": 0.5})
    with pytest.raises(TypeError):
        plan.sparsities["fc"] = 0.9
    with pytest.raises(AttributeError):
        plan.seed = 3


def test_the_digest_follows_the_content() -> None:
    one = PruningPlan({"a": 0.5, "b": 0.1})
    assert one.digest == PruningPlan({"b": 0.1, "a": 0.5}).digest
    assert one.digest != PruningPlan({"a": 0.5, "b": 0.2}).digest
    assert one.with_sparsities({"a": 0.5, "b": 0.2}).digest != one.digest


@given(st.integers(1, 10**6), st.data())
def test_a_quotient_of_counts_prunes_that_count(count: int, data: st.DataObject) -> None:
    pruned = data.draw(st.integers(0, count - 1))
    assert num_pruned(pruned / count, count) == pruned


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 10**6))
def test_the_count_is_the_nearest_whole_number(sparsity: float, count: int) -> None:
    pruned = num_pruned(sparsity, count)
    assert 0 <= pruned < count
    nearest = min(Fraction(sparsity) * count, Fraction(count - 1))  # one is always kept
    assert abs(pruned - nearest) <= Fraction(1, 2) + Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"sparsities": {"conv2": 1.2}}, SparsityError,
         "conv2 asks for sparsity 1.20. Choose a value from 0 to 0.99."),
        ({"sparsities": {"conv2": 1.0}}, SparsityError, "conv2 asks for sparsity 1.00."),
        ({"sparsities": {"conv2": -0.1}}, SparsityError, "conv2 asks for sparsity -0.10."),
        ({"sparsities": {"conv2": float("nan")}}, SparsityError, "conv2 asks for sparsity nan."),
        ({"sparsities": {"conv2": "half"}}, SparsityError,
         "conv2 asks for sparsity 'half', which is not a number."),
        ({"sparsities": {"conv2": True}}, SparsityError, "conv2 asks for sparsity True"),
        ({"sparsities": [0.5]}, PlanError, "The plan's 'sparsities' is a list, not a mapping."),
        ({"granularity": "atom"}, PlanError, "There is no granularity 'atom'."),
        ({"allocation": "best"}, PlanError, "The plan names allocation 'best'."),
        ({"criterion": 3}, PlanError, "The plan's 'criterion' is 3."),
        ({"seed": -1}, PlanError, "The plan's seed is -1."),
        ({"seed": 1.5}, PlanError, "The plan's seed is 1.5."),
        ({"schema": 2}, PlanError, "The plan says schema 2; this version reads schema 1."),
        ({"sparsity": {}}, PlanError, "The plan holds the unknown key 'sparsity'."),
        ([1], PlanError, "The plan is a list, not a mapping."),
    ],
)  # fmt: skip
def test_faulty_plans_are_refused_by_name(values, error, message) -> None:
    with pytest.raises(error) as refused:
        PruningPlan.from_dict(values)
    assert str(refused.value).startswith(message)
