"""Staircases: the right networks are timed, and their times are put together into plateaus."""

import pytest
import torch

from tests.unit.small import small_model
from workbench import staircase
from workbench.errors import ExportError, PlanError, SettingsError
from workbench.groups import find_groups
from workbench.staircase import (
    Plateau,
    Staircase,
    find_plateaus,
    measure_staircase,
    usual_counts,
)

SMALL = small_model()
GROUPS = find_groups(SMALL, "channel")
RUNS = 20


@pytest.fixture
def timed(monkeypatch):
    """Stands in for the clock: each network's number of parameters, and what its pass gives."""
    networks, outputs = [], []

    def torch_pass(module, images):
        networks.append(module)
        return lambda: module(images)

    def onnx_pass(content, images, threads):
        run = real(content, images, threads)
        networks.append(content)
        return run

    def in_turns(passes, runs, *, report, should_stop):
        outputs.extend(run() for run in passes)
        return [[float(times) for times in TIMES[: len(passes)]][i : i + 1] * runs
                for i in range(len(passes))]  # fmt: skip

    real = staircase.onnx_pass
    monkeypatch.setattr(staircase, "torch_pass", torch_pass)
    monkeypatch.setattr(staircase, "onnx_pass", onnx_pass)
    monkeypatch.setattr(staircase, "time_in_turns", in_turns)
    return networks, outputs


TIMES = [10, 10, 30, 20, 20, 20, 20, 20]


def test_the_group_is_cut_to_each_width_and_the_rest_stays(timed):
    networks, _ = timed
    found = measure_staircase(
        SMALL, "fc", counts=[1, 2, 4], runtime="torch", runs=RUNS, groups=GROUPS
    )
    assert [network.fc.out_features for network in networks] == [1, 2, 4, 6]
    assert [network.conv2.out_channels for network in networks] == [8] * 4
    assert [step.kept for step in found.steps] == [1, 2, 4, 6]
    assert (found.group, found.unit, found.num_units) == ("fc", "neuron", 6)
    assert [step.relative for step in found.steps] == [0.5, 0.5, 1.5, 1]
    assert [step.beaten_by for step in found.steps] == [0, 0, 6, 0]
    assert [step.kept for step in found.slower] == [4]
    assert found.plateaus == (Plateau(1, 2, 10), Plateau(4, 4, 30), Plateau(6, 6, 20))
    assert [found.plateau(kept) for kept in (1, 3, 5, 6)] == [
        found.plateaus[i] for i in (0, 1, 2, 2)
    ]
    assert Staircase.from_dict(found.to_dict()) == found


def test_in_onnx_runtime_the_thinner_files_give_the_thinner_networks_scores(timed, monkeypatch):
    _, outputs = timed
    written = []
    real = staircase.write_onnx
    monkeypatch.setattr(staircase, "write_onnx", lambda *given: written.append(1) or real(*given))
    measure_staircase(SMALL, "fc", counts=[1, 4], runs=RUNS, groups=GROUPS)
    assert len(written) == 1, "the thinner ones were cut out of the dense one's file"
    images = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    dense = torch.from_numpy(outputs[-1][0])
    assert torch.allclose(dense, SMALL.module(images), atol=1e-5)
    assert not torch.allclose(torch.from_numpy(outputs[0][0]), dense, atol=1e-3)


def test_a_file_that_cannot_be_cut_is_written_anew(timed, monkeypatch):
    written = []
    content = staircase.write_onnx(SMALL)
    monkeypatch.setattr(staircase, "write_onnx", lambda *_: written.append(1) or content)

    def refuse(*arguments):
        raise ExportError("no", "")

    monkeypatch.setattr(staircase._Maker, "_thinned", refuse)
    measure_staircase(SMALL, "fc", counts=[1, 4], runs=RUNS, groups=GROUPS)
    assert len(written) == 3


def test_other_scores_of_a_cut_file_are_noticed(timed, monkeypatch):
    written = []
    real = staircase.write_onnx
    monkeypatch.setattr(staircase, "write_onnx", lambda *given: written.append(1) or real(*given))
    monkeypatch.setattr(staircase, "thin_onnx", lambda content, *rest: content)
    measure_staircase(SMALL, "fc", counts=[1], runs=RUNS, groups=GROUPS)
    assert len(written) == 2


def test_plateaus_by_hand():
    flat = [[5.0, 5.1, 4.9] * 8, [5.05, 5.0, 5.1] * 8]
    step = [[7.0, 7.2, 7.1] * 8]
    assert find_plateaus([1, 2, 3], flat + step) == (Plateau(1, 2, 5.025), Plateau(3, 3, 7.1))
    noisy = [[5.0, 9.0, 5.0, 2.0] * 6, [5.5, 8.0, 4.0, 3.0] * 6]
    assert len(find_plateaus([1, 2], noisy)) == 1, "within the spread"
    slope = [[1.0 * 1.02**number] * 20 for number in range(12)]
    assert len(find_plateaus(range(12), slope)) > 1, "small steps add up"


@pytest.mark.parametrize(
    ("num_units", "counts"),
    [
        (1, [1]),
        (5, [1, 2, 3, 4, 5]),
        (24, [*range(2, 25, 2), 23]),
        (64, [*range(4, 65, 4), 63]),
        (500, [*range(32, 500, 32), 499, 500]),
    ],
)
def test_usual_widths_are_few_and_hold_the_ends(num_units, counts):
    assert usual_counts(num_units) == sorted(counts)


def test_a_stop_leaves_nothing_half_measured():
    assert measure_staircase(SMALL, "fc", runtime="torch", should_stop=lambda: True) is None
    told = []
    found = measure_staircase(
        SMALL, "fc", counts=[3], runtime="torch", runs=RUNS, groups=GROUPS, report=told.append,
        should_stop=lambda: told[-1].done > 5,
    )  # fmt: skip
    assert found is None
    assert told[0].message == "Cutting fc to 3"


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(PlanError, match="no group 'fd'"):
        measure_staircase(SMALL, "fd", groups=GROUPS)
    with pytest.raises(SettingsError, match=r"fc cannot be cut to 7: it has 6 neurons\."):
        measure_staircase(SMALL, "fc", counts=[7], groups=GROUPS)
    with pytest.raises(SettingsError, match=r"runs is 19\."):
        measure_staircase(SMALL, "fc", runs=19, groups=GROUPS)
