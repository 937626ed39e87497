"""Allocation: exact totals, the same masks as one joint ranking, budgets met with no waste."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.small import small_model
from workbench.accounting import size_of_plan
from workbench.allocation import ALLOCATIONS, Budget, allocate, parse_budget
from workbench.errors import PlanError, SettingsError, SparsityError
from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.plan import num_pruned
from workbench.prune import build_masks

POOL = ("conv1", "conv2", "fc")
POOL_WEIGHTS = 36 + 144 + 432


def test_uniform_gives_every_layer_the_target_and_spares_the_classifier() -> None:
    plan = allocate(small_model(), "uniform", sparsity=0.3)
    assert dict(plan.sparsities) == dict.fromkeys(POOL, 0.3)
    assert plan.allocation == "uniform"
    assert plan.model == small_model().digest


@given(st.floats(0, 0.99), st.sampled_from(["l1", "l2", "random"]), st.integers(0, 9))
def test_global_is_one_joint_ranking_with_an_exact_total(
    sparsity: float, criterion: str, seed: int
) -> None:
    model = small_model(seed)
    plan = allocate(model, "global", sparsity=sparsity, criterion=criterion, seed=seed)
    masks = build_masks(model, plan)
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    assert pruned == num_pruned(sparsity, POOL_WEIGHTS)
    for name in POOL:
        count = num_pruned(plan.sparsities[name], inspect(model).by_name[name].num_weights)
        assert int((~masks[f"{name}.weight"]).sum()) == count
    if criterion == "l1":
        weights = [model.module.get_parameter(f"{name}.weight").detach().abs() for name in POOL]
        cut = list(zip(weights, masks.values(), strict=True))
        gone = torch.cat([weight[~mask] for weight, mask in cut])
        # a layer's largest weight stays even where it is below the cut
        kept = torch.cat([weight[mask & (weight < weight.max())] for weight, mask in cut])
        if len(gone) and len(kept):
            assert gone.max() <= kept.min()


def test_global_by_hand_with_ties_in_the_order_of_layers() -> None:
    model = small_model()
    with torch.no_grad():
        for name in POOL:
            model.module.get_parameter(f"{name}.weight").fill_(1)
        model.module.conv2.weight.fill_(0.5)
        model.module.fc.weight.view(-1)[:10] = 0.1
    plan = allocate(model, "global", sparsity=200 / POOL_WEIGHTS)
    counts = {n: num_pruned(s, {"conv1": 36, "conv2": 144, "fc": 432}[n])
              for n, s in plan.sparsities.items()}  # fmt: skip
    # 10 of 0.1, then 143 of 144 at 0.5 (one stays), then 35 of 36 in conv1, then 12 of fc
    assert counts == {"conv1": 35, "conv2": 143, "fc": 22}


def test_global_never_cuts_a_layer_off() -> None:
    model = small_model()
    top = (POOL_WEIGHTS - 3) / POOL_WEIGHTS
    masks = build_masks(model, allocate(model, "global", sparsity=top))
    assert [int(mask.sum()) for mask in masks.values()] == [1, 1, 1]
    with pytest.raises(SparsityError, match="leaves 1 of 612 weights for 3 layers"):
        allocate(model, "global", sparsity=611 / 612)


@given(
    st.sampled_from(sorted(ALLOCATIONS)), st.sampled_from(["params", "macs", "bytes"]),
    st.floats(0.3, 1), st.sampled_from(["l1", "random"]),
)  # fmt: skip
def test_budgets_are_met_and_nothing_is_pruned_in_vain(
    method: str, unit: str, kept: float, criterion: str
) -> None:
    model = small_model()
    inspection = inspect(model)

    def part(plan) -> float:
        size = size_of_plan(find_groups(model), plan)
        return {
            "params": size.num_nonzero / size.num_params,
            "macs": size.macs / size.dense_macs,
            "bytes": size.bytes / size.dense_bytes,
        }[unit]

    plan = allocate(model, method, budget=Budget(unit, kept), criterion=criterion)
    assert part(plan) <= kept
    total = sum(
        num_pruned(s, inspection.by_name[n].num_weights) for n, s in plan.sparsities.items()
    )
    if total:
        fewer = (
            plan.with_sparsities({n: max(0, s - 2e-6) for n, s in plan.sparsities.items()})
            if method == "uniform"
            else allocate(model, "global", sparsity=(total - 1) / POOL_WEIGHTS, criterion=criterion)
        )
        assert part(fewer) > kept


def test_protected_layers_stay_dense() -> None:
    every = allocate(small_model(), "uniform", sparsity=0.5, protected=())
    assert set(every.sparsities) == {*POOL, "classifier"}
    some = allocate(small_model(), "global", sparsity=0.5, protected=["conv1", "classifier"])
    assert set(some.sparsities) == {"conv2", "fc"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "globl", "sparsity": 0.5}, PlanError,
         "There is no allocation 'globl'. Did you mean 'global'? Choose one of: uniform, global."),
        ({"method": "global"}, SettingsError,
         "A plan needs one target; none given. Give either a sparsity or a budget."),
        ({"method": "global", "sparsity": 0.5, "budget": Budget("params", 0.5)}, SettingsError,
         "A plan needs one target; two given. Give either a sparsity or a budget."),
        ({"method": "uniform", "sparsity": 1.2}, SparsityError,
         "The model asks for sparsity 1.20. Choose a value from 0 to 0.99."),
        ({"method": "uniform", "sparsity": 0.5, "criterion": "L1"}, PlanError,
         "There is no criterion 'L1'. Did you mean 'l1'? Choose one of: l1, l2, random."),
        ({"method": "uniform", "sparsity": 0.5, "protected": ["conv9"]}, PlanError,
         "There is no layer 'conv9'."),
        ({"method": "uniform", "sparsity": 0.5, "protected": [*POOL, "classifier"]}, PlanError,
         "No layer is left to prune. Protect fewer layers."),
        ({"method": "global", "budget": Budget("params", 0.01)}, PlanError,
         "The budget params=0.01 cannot be met: the parts that stay dense are more than that. "
         "Keep at least params="),
    ],
)  # fmt: skip
def test_what_cannot_be_allocated_is_refused(arguments, error, message) -> None:
    with pytest.raises(error) as refused:
        allocate(small_model(), **arguments)
    assert str(refused.value).startswith(message)


def test_budgets_are_read_from_text() -> None:
    assert parse_budget("macs=0.25") == Budget("macs", 0.25)
    assert str(parse_budget("bytes=1")) == "bytes=1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5", "The budget '0.5' cannot be read. Write it like this: params=0.5."),
        ("params=half", "The budget 'params=half' cannot be read."),
        ("params=nan", "The budget 'params=nan' cannot be read."),
        ("flops=0.5", "There is no budget in 'flops'."),
        ("params=0", "The budget keeps 0.0 of params. Give a fraction above 0 and up to 1"),
        ("macs=1.5", "The budget keeps 1.5 of macs."),
    ],
)
def test_wrong_budgets_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_budget(text)
    assert str(refused.value).startswith(message)
