"""Exported weights of a network that channels were removed from, on the model page."""

import torch

from tests.ui.conftest import address
from tests.ui.test_model_and_layers import metric, upload
from workbench.export.formats import safetensors_bytes
from workbench.groups import find_groups
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.ui import bench
from workbench.ui.theme import compact


def test_thin_weights_are_put_on_the_bench_and_survive_a_reload(open_app):
    dense = load_model("fashion-resnet20")
    groups = find_groups(dense, "channel")
    plan = PruningPlan({group.name: 0.4 for group in groups.prunable}, granularity="channel")
    thin = prune(dense, plan, groups).model
    record = {"architecture": thin.architecture, "arguments": dict(thin.arguments)}
    app = open_app()
    upload(app, "thin.safetensors", safetensors_bytes(thin.module, record))
    assert not app.error
    params = sum(parameter.numel() for parameter in thin.module.parameters())
    assert metric(app, "Parameters").value == compact(params)
    shown = [*app.info, *app.caption, *app.markdown, *app.warning]
    assert any(f"{params:,} of 272,186 parameters are left" in text.value for text in shown)
    again = open_app(ws=address(app))
    assert not again.error
    assert metric(again, "Parameters").value == compact(params)
    reopened = bench.model(bench.store().open_workspace(address(app)).model_ref)
    assert reopened.digest == thin.digest
    images = torch.randn(2, *thin.input_shape)
    assert torch.equal(reopened.module(images), thin.module(images))
