"""Stop: whoever is told to end does so within a bounded number of further steps, without a clock.

The oracle is a count: after the first yes no further pass of a network, round or row may follow
than the one under way, and what is left half-made is not kept.
"""

import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.small import SmallNet, small_model, stripes, stripes_data
from workbench.allocation import allocate
from workbench.compression.clustering import cluster_tensors
from workbench.compression.code_matrix import code_matrix, write_words
from workbench.compression.compressed import compress, decompress
from workbench.compression.huffman import BitWriter
from workbench.compression.kmeans import cluster_values
from workbench.compression.range_coder import Encoder
from workbench.curves import SensitivitySettings
from workbench.data import Data
from workbench.ensembles.combining import combine_models
from workbench.ensembles.values import EnsembleSettings
from workbench.experiment import prune_and_measure
from workbench.export.check import _run
from workbench.floor import smallest_above_floor
from workbench.gathering import GATHERERS, gather
from workbench.groups import find_groups
from workbench.latency import time_in_turns
from workbench.metrics import BATCH, measure
from workbench.model import Model, with_data
from workbench.plan import PruningPlan
from workbench.progress import StoppedError, abandonable, never
from workbench.prune import Pruned, prune
from workbench.reconstruct.ridge import Problem, solve
from workbench.refine import refine
from workbench.repair import repair
from workbench.sensitivity import measure_sensitivity
from workbench.sparse_training import SparseTrainingSettings
from workbench.sparse_training.running import train_sparse
from workbench.speedup import write_onnx
from workbench.surgery import order_units
from workbench.trials import Bench, TrialSettings

PLAN = PruningPlan({"conv1": 0.5, "fc": 0.5}, criterion="taylor")


class StopAfter:
    """Says yes from a certain question on.

    Args:
        asks: Questions that are answered no.
    """

    def __init__(self, asks: int) -> None:
        self.left, self.later = asks, 0

    @property
    def said(self) -> bool:
        """Whether a yes was given."""
        return self.later > 0

    def __call__(self) -> bool:
        self.left -= 1
        self.later += self.left < 0
        return self.left < 0


class Watched(SmallNet):
    """Counts the passes after a yes; copies count for the first of them."""

    stop = StopAfter(0)
    passes = after = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Watched.passes += 1
        Watched.after += Watched.stop.said
        return super().forward(x)


def watched(stop: StopAfter) -> Model:
    torch.manual_seed(0)
    Watched.stop, Watched.passes, Watched.after = stop, 0, 0
    return Model("watched", Watched().eval(), (1, 6, 6), 3)


# --- work that cannot ask ---


def test_work_that_cannot_ask_gives_its_result_or_its_error_here_or_in_a_thread():
    here = threading.get_ident()
    assert abandonable(threading.get_ident, never) == here
    assert abandonable(threading.get_ident, lambda: False) != here
    with pytest.raises(ZeroDivisionError):
        abandonable(lambda: 1 / 0, lambda: False)


def test_work_that_cannot_ask_is_left_and_not_begun_after_a_yes():
    go_on, begun = threading.Event(), []

    def work() -> None:
        begun.append(1)
        go_on.wait(60)

    with pytest.raises(StoppedError):
        abandonable(work, StopAfter(3))
    with pytest.raises(StoppedError):
        abandonable(work, StopAfter(0))
    go_on.set()
    assert begun == [1]


# --- criteria that look at images ---


@pytest.mark.parametrize("kind", GATHERERS)
@pytest.mark.parametrize("asks", [0, 1])
def test_gathering_ends_before_the_next_pass_and_keeps_nothing(kind, asks):
    stop = StopAfter(asks)
    model = with_data(watched(stop), stripes_data(), stop)
    with pytest.raises(StoppedError):
        gather(kind, model, model.evidence)
    assert Watched.after == 0
    assert stop.later == 1
    assert not model.evidence.knows(model.digest, kind)
    whole = gather(kind, model, model.evidence.asking(never))
    again = gather(kind, with_data(watched(stop), stripes_data()), with_data(
        model, stripes_data()).evidence.asking(never))  # fmt: skip
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert model.evidence.knows(model.digest, kind), "the memory is the same"


@pytest.mark.parametrize("criterion", ["l1", "taylor", "obs"])
def test_ranking_asks_at_every_layer(criterion):
    stop = StopAfter(0)
    model = with_data(small_model(), stripes_data())
    prune(model, PruningPlan(PLAN.sparsities, criterion=criterion))  # everything is gathered now
    asking = model.asking(stop)
    with pytest.raises(StoppedError):
        prune(asking, PruningPlan(PLAN.sparsities, criterion=criterion))
    with pytest.raises(StoppedError):
        allocate(asking, "global", sparsity=0.5, criterion=criterion)
    assert stop.later == 2


def test_taking_units_out_ends_between_two_of_them():
    from workbench.criteria import CRITERIA
    from workbench.scoring import Look

    model = with_data(small_model(), stripes_data())
    group = find_groups(model, "channel").prunable[0]
    gather("grams", model, model.evidence)
    count = StopAfter(10**6)
    order_units(Look(CRITERIA["obs"], model.asking(count), 0, group.name), group)
    asked = 10**6 - count.left
    assert asked >= group.num_units
    stop = StopAfter(asked - 1)
    with pytest.raises(StoppedError):
        order_units(Look(CRITERIA["obs"], model.asking(stop), 0, group.name), group)


def test_an_experiment_stopped_while_it_gathers_has_measured_nothing():
    stop = StopAfter(2)
    run, pruned = prune_and_measure(watched(stop), stripes_data(), PLAN, should_stop=stop)
    assert (run.stopped, run.stages, Watched.after) == (True, (), 0)
    assert not pruned.masks


def test_sensitivity_stopped_while_it_gathers_gives_the_points_so_far():
    settings = SensitivitySettings(levels=(0.5,), num_samples=20, criterion="taylor", repair="none")
    for asks in range(1, 6):
        stop = StopAfter(asks)
        curves = measure_sensitivity(watched(stop), stripes_data(), settings, should_stop=stop)
        assert not curves.complete
        assert not curves.points
        assert Watched.after == 0


# --- repair, trials and searches ---


def problem(masked: bool) -> Problem:
    torch.manual_seed(1)
    inputs, wanted = torch.randn(1, 9_000, 6), torch.randn(1, 9_000, 4)
    mask = torch.rand(1, 4, 6) > 0.4 if masked else None
    return Problem(inputs, wanted, None, torch.randn(1, 4, 6), torch.zeros(1, 4), mask, True,
                   (0.0, float("inf")))  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
def test_a_solution_can_be_ended_at_every_step(masked):
    steps = []
    solve(problem(masked), lambda: steps.append(1))
    assert len(steps) > 20

    def check() -> None:
        steps.append(2)
        if steps.count(2) == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        solve(problem(masked), check)
    assert steps.count(2) == 5


@pytest.mark.parametrize("method", ["bn", "full"])
def test_a_repair_ends_before_the_next_pass_wherever_it_is(method):
    count = StopAfter(10**6)
    pruned = prune(watched(count), PruningPlan({"conv1": 0.5, "fc": 0.5}))
    repair(pruned, stripes_data(), method, num_samples=40, should_stop=count)
    asked = 10**6 - count.left
    for asks in range(asked):
        stop = Watched.stop = StopAfter(asks)
        Watched.after = 0
        found = repair(pruned, stripes_data(), method, num_samples=40, should_stop=stop)
        assert found.pruned is pruned
        assert Watched.after == 0


def test_a_trial_is_whole_or_none():
    data, model = stripes_data(), small_model()
    groups = find_groups(model)
    settings = TrialSettings("none", 150)
    whole = Bench(model, data, groups, settings).score(PruningPlan({"fc": 0.5}))
    stop = StopAfter(1)
    bench = Bench(model, data, groups, settings, should_stop=stop)
    with pytest.raises(StoppedError):
        bench.score(PruningPlan({"fc": 0.5}))
    stop.left = 10**6
    assert bench.score(PruningPlan({"fc": 0.5})) == whole, "nothing half-made was remembered"


def test_a_search_for_a_floor_stopped_at_once_refuses_nothing_and_finds_nothing():
    model = small_model()
    search = smallest_above_floor(
        model, stripes_data(), lambda budget: allocate(model, "uniform", budget=budget), 0.99,
        groups=find_groups(model), settings=TrialSettings("none", 40), should_stop=lambda: True,
    )  # fmt: skip
    assert (search.trials, search.best, search.complete) == ((), None, False)


def test_refining_stopped_before_the_plan_was_measured_has_nothing_to_show():
    model, data = small_model(), stripes_data()
    settings = SensitivitySettings(levels=(0.5, 0.9), num_samples=40, repair="none")
    curves = measure_sensitivity(model, data, settings)
    with pytest.raises(StoppedError):
        refine(
            model, data, PruningPlan({"conv1": 0.5, "fc": 0.5}), curves, "params",
            groups=find_groups(model), should_stop=lambda: True,
        )  # fmt: skip


# --- sparse training, ensembles ---


def test_pruning_in_steps_asks_while_it_looks_at_the_model_it_begins_with():
    settings = SparseTrainingSettings(method="iterative")
    data = Data("stripes", *stripes(3_000, 0), *stripes(60, 1), class_names=("a", "b", "c"))
    assert len(data.split("validation")) > 2 * BATCH
    stop = StopAfter(0)
    trained = train_sparse(watched(stop), data, settings, should_stop=stop)
    assert trained.stopped
    assert not trained.history
    assert Watched.after <= 1


def test_an_ensemble_stopped_in_the_middle_is_none():
    models = {str(seed): small_model(seed) for seed in (1, 2, 3)}
    count = StopAfter(10**6)
    wanted = EnsembleSettings()
    assert combine_models(small_model(), models, stripes_data(), wanted, should_stop=count)
    asked = 10**6 - count.left
    stop = StopAfter(min(asked, 14))
    assert combine_models(small_model(), models, stripes_data(), wanted, should_stop=stop) is None
    assert stop.later <= 3


# --- clustering and coding ---


def test_clustering_asks_at_every_tensor_and_every_round():
    values = np.random.default_rng(0).normal(size=5_000)
    count = StopAfter(10**6)
    whole = cluster_values(values, 15, count)
    assert 10**6 - count.left > 10
    for asks in (0, 3, 9):
        stop = StopAfter(asks)
        with pytest.raises(StoppedError):
            cluster_values(values, 15, stop)
        assert stop.later == 1
    assert np.array_equal(whole.centroids, cluster_values(values, 15).centroids)
    tensors = {name: torch.randn(4, 4) for name in "abc"}
    with pytest.raises(StoppedError):
        cluster_tensors(tensors, 3, StopAfter(0))


def test_coding_asks_at_every_row_and_word():
    codes = np.random.default_rng(0).integers(0, 4, (50, 9))
    count = StopAfter(10**6)
    code_matrix(Encoder(), codes, 3, count)
    assert 10**6 - count.left == 50
    long = np.ones((1, 9_000), dtype=np.int64)
    stop = StopAfter(1)
    with pytest.raises(StoppedError):
        write_words(BitWriter(), long, 3, stop)


@pytest.mark.parametrize("coding", ["range", "huffman"])
def test_a_file_is_written_and_read_whole_or_not_at_all(coding):
    model = small_model()
    clustered = cluster_tensors(model.module.state_dict(), 3)
    with pytest.raises(StoppedError):
        compress(model, clustered, coding, StopAfter(1))
    content = compress(model, clustered, coding)
    with pytest.raises(StoppedError):
        decompress(content, should_stop=StopAfter(1))
    assert decompress(content).coding == coding


# --- timing, files ---


def test_timing_ends_before_the_next_pass_and_keeps_whole_turns():
    told, calls = [], []
    passes = [lambda name=name: calls.append((name, len(told))) for name in "ab"]

    def stop() -> bool:
        return ("a", 2) in calls

    times = time_in_turns(passes, 9, report=told.append, should_stop=stop)
    assert [len(own) for own in times] == [2, 2], "the third turn was not whole"
    assert ("b", 2) not in calls
    calls.clear()
    assert time_in_turns(passes, 3, should_stop=StopAfter(0)) == [[], []]
    assert not calls


def test_a_measurement_stopped_while_it_is_timed_has_no_latency():
    class Timed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(36, 3)
            self.single = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.single += len(x) == 1
            return self.fc(x.flatten(1))

    network = Timed()
    model = Model("timed", network.eval(), (1, 6, 6), 3)
    found = measure(model, stripes_data(), should_stop=lambda: network.single > 2)
    assert found.samples == 60
    assert found.latency_ms is None
    assert measure(model, stripes_data()).latency_ms is not None


def test_a_file_can_be_written_after_one_that_was_left_half_written():
    model = small_model()
    begun = StopAfter(2)
    with pytest.raises(StoppedError):
        write_onnx(model, begun)
    assert begun.later == 1
    assert write_onnx(model, lambda: False) == write_onnx(model)


def test_the_process_that_checks_files_is_ended():
    command = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(600)"]
    with pytest.raises(StoppedError):
        _run(command, {}, StopAfter(1))
    done = _run([sys.executable, "-c", "print('{}')"], {}, never)
    assert (done.returncode, done.stdout.strip()) == (0, b"{}")


def test_pruned_models_keep_their_evidence_signal_apart():
    """A model that was asked to stop does not stop others that share its memory."""
    model = with_data(small_model(), stripes_data())
    stopped = model.asking(lambda: True)
    with pytest.raises(StoppedError):
        prune(stopped, PLAN)
    assert isinstance(prune(model, PLAN), Pruned)
