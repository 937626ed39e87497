"""Every criterion on every sample at both granularities."""

import dataclasses
from functools import cache

import pytest

import workbench as wb
from workbench.criteria import CRITERIA
from workbench.groups import Groups, find_groups
from workbench.loading import sample_names
from workbench.model import with_data
from workbench.scoring import score_layer, score_units

IMAGES = 40
"""Images to look at: enough to rank, few enough to be quick."""


@cache
def seeing(name: str) -> wb.Model:
    model = wb.load_model(name)
    data = wb.load_data(model.data_name)
    most = data.num_validation + IMAGES
    few = dataclasses.replace(data, x_train=data.x_train[:most], y_train=data.y_train[:most])
    return with_data(model, few)


@cache
def groups(name: str, granularity: str) -> Groups:
    return find_groups(seeing(name), granularity)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", sample_names())
def test_every_criterion_ranks_every_group_and_layer(name: str, criterion: str) -> None:
    chosen, model = CRITERIA[criterion], seeing(name)
    for group in groups(name, "channel").prunable:
        scores = score_units(chosen, model, group)
        assert scores.shape == (group.num_units,)
        assert scores.isfinite().all()
        assert len(scores.unique()) > 1, "all units score the same"
    if chosen.weights is None:
        return
    for layer in groups(name, "weight").prunable:
        assert layer.layer is not None
        key = layer.layer.parameter_name
        scores = score_layer(chosen, model, key, 0, layer.name)
        assert scores.shape == model.module.get_parameter(key).shape
        assert scores.isfinite().all()
        assert len(scores.unique()) > 1, "all weights score the same"
