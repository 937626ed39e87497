"""Latency: how it is measured, never how long it took."""

import pytest
import torch
from torch import nn

from workbench.errors import SettingsError
from workbench.latency import MIN_RUNS, WARM_UP_RUNS, measure_latency


class Counting(nn.Module):
    """Remembers how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[int, ...], bool, int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.append((tuple(x.shape), self.training, torch.get_num_threads()))
        return x


def test_it_warms_up_then_runs_as_often_as_asked_on_the_threads_asked_for() -> None:
    module, before = Counting().eval(), torch.get_num_threads()
    latency = measure_latency(module, (2, 3, 4), batch=5, threads=1, runs=25)
    assert len(module.calls) >= 25 + WARM_UP_RUNS
    assert set(module.calls) == {((5, 2, 3, 4), False, 1)}
    assert torch.get_num_threads() == before
    assert (latency.runs, latency.batch, latency.threads) == (25, 5, 1)
    assert 0 <= latency.low_ms <= latency.median_ms <= latency.high_ms
    assert latency.spread_ms == latency.high_ms - latency.low_ms


def test_median_and_quartiles_are_those_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([float(value) for value in range(1, 24)])  # 1 to 23 ms: quartiles 6, 12, 18
    monkeypatch.setattr("workbench.latency._time_ms", lambda module, images: next(times))
    latency = measure_latency(Counting(), (1, 2, 2), runs=23)
    assert (latency.low_ms, latency.median_ms, latency.high_ms) == (6, 12, 18)


def test_a_module_in_training_mode_is_timed_in_eval_mode_and_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    measure_latency(module, (1, 5, 5))
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": MIN_RUNS - 1}, "runs is 19. Choose at least 20."),
        ({"batch": 0}, "batch is 0. Choose at least 1."),
        ({"threads": -1}, "threads is -1. Choose at least 1."),
    ],
)
def test_too_few_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        measure_latency(Counting(), (1, 2, 2), **arguments)
    assert str(refused.value) == message
