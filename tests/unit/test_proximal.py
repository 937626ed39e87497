"""Proximal steps, hard concrete gates and growing cuts, held against their definitions."""

import itertools
import math

import numpy as np
import pytest
import torch

from workbench.sparse_training.growth import (
    cubic_sparsity,
    growing_strength,
    next_step,
    round_sparsity,
)
from workbench.sparse_training.hard_concrete import (
    BETA,
    GAMMA,
    ZETA,
    final_gates,
    noise,
    open_probability,
    sample_gates,
)
from workbench.sparse_training.proximal import (
    elastic_step,
    group_factors,
    shrink,
    soft_threshold,
)

GRID = np.linspace(-4, 4, 80_001)
VALUES = torch.tensor([-2.5, -0.31, -0.3, -0.1, 0.0, 0.05, 0.3, 0.7, 3.0], dtype=torch.float64)


def best_on_grid(value: float, penalty) -> float:
    """Where half the squared distance plus the penalty is least: the definition of the step."""
    return float(GRID[np.argmin((GRID - value) ** 2 / 2 + penalty(GRID))])


@pytest.mark.parametrize(
    ("step", "penalty"),
    [
        (lambda v: soft_threshold(v, 0.3), lambda v: 0.3 * np.abs(v)),
        (lambda v: shrink(v, 0.7), lambda v: 0.35 * v**2),
        (lambda v: elastic_step(v, 0.3, 0.7), lambda v: 0.3 * np.abs(v) + 0.35 * v**2),
    ],
    ids=["l1", "l2", "elastic"],
)
def test_a_step_is_the_minimum_that_defines_it(step, penalty):
    expected = [best_on_grid(float(value), penalty) for value in VALUES]
    assert step(VALUES).tolist() == pytest.approx(expected, abs=2e-4)


def test_the_soft_threshold_gives_exact_zeros_and_the_l2_step_none():
    inside = VALUES.abs() <= 0.3
    assert torch.equal(soft_threshold(VALUES, 0.3) == 0, inside)
    assert torch.equal(shrink(VALUES, 5.0) == 0, VALUES == 0)


def test_a_mixture_of_one_is_l1_and_of_zero_is_l2():
    assert torch.equal(elastic_step(VALUES, 0.2, 0.0), soft_threshold(VALUES, 0.2))
    assert torch.equal(elastic_step(VALUES, 0.0, 0.2), shrink(VALUES, 0.2))


def test_the_group_step_is_the_minimum_over_all_lengths_and_keeps_the_direction():
    groups = torch.tensor([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0]], dtype=torch.float64)
    thresholds = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    factors = group_factors(groups.norm(dim=1), thresholds)
    lengths = np.linspace(0, 6, 60_001)
    for group, threshold, factor in zip(groups, thresholds, factors, strict=True):
        norm = float(group.norm())
        best = lengths[np.argmin((lengths - norm) ** 2 / 2 + float(threshold) * lengths)]
        assert float(factor) * norm == pytest.approx(best, abs=2e-4)
    assert factors.tolist() == [0.8, 0.0, 0.0]


LOG_ALPHAS = torch.linspace(-4, 4, 9, dtype=torch.float64)


def test_gates_are_closed_and_open_as_often_as_the_closed_form_says():
    """Integrated over the noise on a fine grid: the gate is a function of one uniform number."""
    uniform = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for log_alpha in LOG_ALPHAS:
        gates = sample_gates(log_alpha.expand(len(uniform)), uniform)
        assert float((gates > 0).double().mean()) == pytest.approx(
            float(open_probability(log_alpha)), abs=1e-5
        )
        whole = torch.special.expit(log_alpha - BETA * math.log((1 - GAMMA) / (ZETA - 1)))
        assert float((gates == 1).double().mean()) == pytest.approx(float(whole), abs=1e-5)


def test_drawn_gates_agree_with_the_closed_form_within_chance():
    generator = torch.Generator().manual_seed(0)
    log_alpha = torch.full((40_000,), 0.5)
    gates = sample_gates(log_alpha, noise(log_alpha.shape, generator))
    expected = float(open_probability(torch.tensor(0.5)))
    spread = math.sqrt(expected * (1 - expected) / len(gates))
    assert abs(float((gates > 0).float().mean()) - expected) < 4 * spread
    assert gates.min() == 0
    assert gates.max() == 1


def test_the_gradient_of_a_gate_is_that_of_differences():
    log_alpha = torch.tensor([-0.4, 0.3, 1.2], dtype=torch.float64, requires_grad=True)
    uniform = torch.tensor([0.4, 0.55, 0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: sample_gates(a, uniform), (log_alpha,))
    assert torch.autograd.gradcheck(open_probability, (log_alpha,))


def test_final_gates_are_the_stretched_sigmoid_and_close_below_a_twelfth():
    values = torch.tensor([math.log(1 / 11) - 1e-6, math.log(1 / 11) + 1e-6, 0.0, 5.0]).double()
    gates = final_gates(values)
    assert gates[0] == 0
    assert gates[1] > 0
    assert float(gates[2]) == pytest.approx(0.5)
    assert gates[3] == 1


def test_the_cubic_schedule_is_the_papers_formula():
    start, target, begin, steps, every = 0.2, 0.9, 0.0, 10, 0.06
    for n in range(steps + 1):
        t = begin + n * every
        paper = target + (start - target) * (1 - (t - begin) / (steps * every)) ** 3
        assert cubic_sparsity(t, target, steps * every, start) == pytest.approx(paper)
    assert cubic_sparsity(0.99, target, 0.6, start) == target
    rising = [cubic_sparsity(part / 50, 0.95, 0.7) for part in range(51)]
    assert rising == sorted(rising)


def test_a_growing_penalty_rises_in_equal_stairs_to_its_height():
    strengths = [growing_strength(part / 1000, 2.0, 0.5, stairs=4) for part in range(1001)]
    assert sorted(set(strengths)) == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert strengths == sorted(strengths)
    assert strengths[500] == 2.0


def test_steps_go_on_evenly_and_then_halve_what_is_left():
    sparsity, seen = 0.0, []
    while sparsity < 0.99:
        sparsity = next_step(sparsity, 0.1, 0.99)
        seen.append(round(sparsity, 6))
    assert seen == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.9875, 0.99]


def test_rounds_each_take_the_same_share_of_what_is_left():
    left = [1 - round_sparsity(number, 4, 0.9) for number in range(5)]
    shares = [after / before for before, after in itertools.pairwise(left)]
    assert shares == pytest.approx([0.1 ** (1 / 4)] * 4)
    assert left[-1] == pytest.approx(0.1)
