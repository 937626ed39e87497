"""Measured speedup: both runtimes really run both networks, in turns."""

import pytest
import torch
from torch import nn

from tests.unit.small import small_model
from workbench import speedup
from workbench.errors import SettingsError
from workbench.latency import MIN_RUNS
from workbench.model import Model
from workbench.speedup import make_pass, measure_speedup


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_pass_computes_what_the_network_computes(runtime):
    model = small_model()
    before = torch.get_num_threads()
    scores = make_pass(model, runtime, 3, 1)()
    scores = scores if runtime == "torch" else torch.from_numpy(scores[0])
    images = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(scores, model.module(images), atol=1e-5)
    assert torch.get_num_threads() == before


class Repeated(nn.Module):
    """The same work several times: as much slower."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times, self.layer = times, nn.Linear(256, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for _ in range(self.times):
            x = self.layer(x)
        return x


def test_a_network_with_a_tenth_of_the_work_is_measured_to_be_faster():
    dense, pruned = (Model("r", Repeated(n).eval(), (1, 16, 16), 256) for n in (30, 3))
    told = []
    found = measure_speedup(dense, pruned, runtime="torch", batch=16, runs=20, report=told.append)
    assert found.verdict == "faster"
    assert found.dense.median_ms > found.pruned.median_ms
    assert (found.pruned.runs, found.pruned.batch, found.pruned.threads) == (20, 16, 1)
    assert (told[-1].done, told[-1].total) == (22, 22)


@pytest.mark.parametrize(("turns", "kept"), [(0, False), (MIN_RUNS - 1, False), (MIN_RUNS, True)])
def test_a_stop_keeps_what_is_enough(turns, kept):
    last = 0

    def listen(progress):
        nonlocal last
        last = progress.done

    found = measure_speedup(
        small_model(), small_model(1), runtime="torch", report=listen,
        should_stop=lambda: last >= 2 + turns if turns else True,
    )  # fmt: skip
    assert (found is not None) == kept


def test_unknown_runtimes_are_refused(monkeypatch):
    monkeypatch.setattr(speedup, "make_pass", None)
    with pytest.raises(SettingsError, match=r"no runtime 'onnx'.*Did you mean 'onnxruntime'"):
        measure_speedup(small_model(), small_model(), runtime="onnx")
