"""Latency: how it is measured, never how long it took."""

import gc
import statistics

import pytest
import torch
from torch import nn

from workbench.errors import SettingsError
from workbench.latency import (
    MIN_RUNS,
    WARM_UP_RUNS,
    Latency,
    LatencyComparison,
    compare_times,
    measure_latency,
    median_interval,
    time_in_turns,
)


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else this machine does, nothing is timed twice."""
    monkeypatch.setattr("workbench.latency._interruptions", lambda: 0)


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
    monkeypatch.setattr("workbench.latency._time_ms", lambda run: next(times))
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


def test_networks_are_timed_in_turns() -> None:
    calls: list[str] = []
    passes = [lambda name=name: calls.append(name) for name in "abc"]
    told = []
    times = time_in_turns(passes, 4, report=told.append)
    assert calls[-12:] == list("abcabcabcabc")
    assert all(calls[:-12].count(name) >= WARM_UP_RUNS for name in "abc")
    assert [len(own) for own in times] == [4, 4, 4]
    assert [(step.done, step.total) for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_stop_ends_after_a_whole_turn() -> None:
    told: list[object] = []
    times = time_in_turns(
        [lambda: None, lambda: None], 9, report=told.append, should_stop=lambda: len(told) > 1
    )
    assert [len(own) for own in times] == [2, 2]


def test_a_disturbed_pass_is_timed_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter(float(value) for value in range(99))
    monkeypatch.setattr("workbench.latency._time_ms", lambda run: next(times))
    # read before and after each pass: the first is disturbed twice, the second not at all
    counts = iter([0, 1, 1, 2, 2, 2, *[2] * 6])
    monkeypatch.setattr("workbench.latency._interruptions", lambda: next(counts))
    assert time_in_turns([lambda: None], 4) == [[2, 3, 4, 5]]
    busy = iter(range(99))
    monkeypatch.setattr("workbench.latency._interruptions", lambda: next(busy))
    assert time_in_turns([lambda: None], 3) == [[9, 10, 11]], "three spare passes, all disturbed"
    warm = iter([10.0, 1.0])
    monkeypatch.setattr("workbench.latency._warm_up", lambda *_: next(warm))
    both = [lambda: None, lambda: None]
    assert time_in_turns(both, 2) == [[12, 14], [13, 15]], "one is long, so none is repeated"


def test_nothing_is_collected_while_the_clock_runs() -> None:
    seen: list[bool] = []
    time_in_turns([lambda: seen.append(gc.isenabled())], 3)
    assert seen[-3:] == [False] * 3
    assert gc.isenabled()


def test_the_speedup_is_the_median_of_the_turns() -> None:
    dense = [2.0] * 10 + [40.0] * 11  # half of the turns on a machine that slept
    pruned = [1.0] * 10 + [20.0] * 10 + [1.0]
    found = compare_times("torch", dense, pruned, 3, 1)
    assert (found.measured_speedup, found.speedup_low, found.speedup_high) == (2, 2, 2)
    assert found.verdict == "faster"
    assert found.pruned == Latency(1.0, 1.0, 20.0, 21, 3, 1)
    assert LatencyComparison.from_dict(found.to_dict()) == found


@pytest.mark.parametrize(
    ("quotients", "verdict"),
    [
        ([1.1, 1.2] * 15, "faster"),
        ([1.01, 1.02] * 15, "same"),  # surely faster, and not worth a word
        ([0.95, 1.05] * 15, "same"),
        ([0.8, 1.02] * 15, "unclear"),
        ([0.99, 1.3] * 15, "unclear"),
        ([0.7, 0.9] * 15, "slower"),
    ],
)
def test_only_a_speedup_outside_its_interval_counts(quotients: list[float], verdict: str) -> None:
    assert compare_times("torch", quotients, [1.0] * 30, 1, 1).verdict == verdict


def test_the_interval_of_a_median_is_that_of_the_tables() -> None:
    # ranks of the 95 % interval for 6, 10, 20, 60 values (Conover, table of the sign test)
    for count, rank in ((6, 1), (10, 2), (20, 6), (60, 22)):
        values = [float(value) for value in range(1, count + 1)]
        assert median_interval(values) == (rank, count + 1 - rank)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.empty(2000, 25).exponential_(generator=generator).tolist()
    true = 0.6931
    held = [low <= true <= high for low, high in map(median_interval, draws)]
    assert 0.94 < statistics.mean(held) < 0.98
