"""Accounting: by hand, and equal to what is counted on the really pruned model."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.small import small_model, stripes_data
from workbench.accounting import size_of_plan, tensor_bytes
from workbench.errors import PlanError
from workbench.groups import find_groups
from workbench.metrics import measure
from workbench.plan import PruningPlan
from workbench.prune import prune

DATA = stripes_data()


def test_a_plan_by_hand() -> None:
    # conv1 36+4, norm 8, conv2 8*2*9=144, fc 432+6, classifier 18+3; MACs: conv1 36*36,
    # conv2 9*144, fc 432, classifier 18
    size = size_of_plan(find_groups(small_model()), PruningPlan({"conv2": 0.75, "fc": 0.01}))
    params, macs = 40 + 8 + 144 + 438 + 21, 36 * 36 + 9 * 144 + 432 + 18
    assert (size.num_params, size.dense_macs, size.dense_bytes) == (params, macs, 4 * params)
    assert size.num_nonzero == params - 108 - 4
    assert size.macs == macs - 9 * 108 - 4
    # conv2: 36 values and 18 bytes of bit mask; fc stays dense: 428 * 4 + 54 > 432 * 4
    assert size.bytes == 4 * (40 + 8 + 438 + 21) + 4 * 36 + 18
    assert size.compression_ratio == params / (params - 112)
    assert size.compression_ratio_bytes == 4 * params / size.bytes
    assert size.theoretical_speedup == macs / size.macs
    assert size.to_dict()["theoretical_speedup"] == size.theoretical_speedup


@given(
    st.dictionaries(
        st.sampled_from(["conv1", "conv2", "fc", "classifier"]), st.floats(0, 0.9999), max_size=4
    ),
    st.sampled_from(["l1", "random"]),
    st.integers(0, 3),
)
def test_size_of_plan_is_what_the_pruned_model_has(
    sparsities: dict[str, float], criterion: str, seed: int
) -> None:
    model = small_model(seed)
    plan = PruningPlan(sparsities, criterion=criterion, seed=seed)
    size = size_of_plan(find_groups(model), plan)
    counted = measure(prune(model, plan).model, DATA, latency=False)
    assert size.num_params == counted.num_params
    assert size.num_nonzero == counted.num_nonzero
    assert size.macs == counted.macs
    assert size.bytes == counted.bytes


def test_bytes_are_those_of_an_encoding_that_can_be_written_and_read() -> None:
    weight = torch.tensor([0.0, 1.5, 0, 0, -2, 0, 0, 0, 0, 3])
    mask = sum(1 << i for i, value in enumerate(weight.tolist()) if value)
    encoded = mask.to_bytes(2, "little") + weight[weight != 0].numpy().tobytes()
    assert len(encoded) == tensor_bytes(10, 3)
    assert tensor_bytes(10, 10) == 40
    assert tensor_bytes(8, 0) == 1


def test_an_empty_plan_is_the_dense_model() -> None:
    size = size_of_plan(find_groups(small_model()), PruningPlan({}))
    assert size.compression_ratio == size.theoretical_speedup == size.compression_ratio_bytes == 1


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(PlanError, match="no layer 'conv3'"):
        size_of_plan(find_groups(small_model()), PruningPlan({"conv3": 0.5}))
