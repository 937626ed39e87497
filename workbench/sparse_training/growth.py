"""How a sparsity or a penalty grows while a network trains."""

import math


def cubic_sparsity(part: float, target: float, ramp: float, start: float = 0.0) -> float:
    """Sparsity of the gradual schedule: fast at first, when much is redundant, then slower.

    ``s(t) = target + (start - target) (1 - t)^3``, where ``t`` goes from 0 to 1 while ``part``
    goes from 0 to ``ramp``; then it stays at the target.

    Args:
        part: How much of the training is over, 0 to 1.
        target: Sparsity at the end.
        ramp: Part of the training after which the target is reached, over 0.
        start: Sparsity at the beginning.

    Reference:
        Zhu and Gupta 2017, "To prune, or not to prune", equation 1.
    """
    left = 1 - min(1.0, max(0.0, part) / ramp)
    return target + (start - target) * left**3


def growing_strength(part: float, highest: float, ramp: float, stairs: int = 50) -> float:
    """A penalty that grows in equal stairs from the first of them to its highest value.

    Args:
        part: How much of the training is over, 0 to 1.
        highest: Reached where ``part`` is ``ramp``.
        ramp: Over 0.
        stairs: How many.

    Reference:
        Wang et al. 2021, "Neural Pruning via Growing Regularization", section 3.1.
    """
    grown = min(1.0, max(0.0, part) / ramp)
    return highest * max(1, math.floor(stairs * grown)) / stairs


def next_step(sparsity: float, step: float, ceiling: float) -> float:
    """The next sparsity of stepwise pruning: a step further, but at most half of what is left.

    Args:
        sparsity: Now.
        step: How far a step goes.
        ceiling: Never beyond.
    """
    return min(ceiling, sparsity + min(step, (1 - sparsity) / 2))


def round_sparsity(number: int, rounds: int, target: float) -> float:
    """Sparsity after a round when each removes the same part of what is left.

    Args:
        number: Of the round, from 1.
        rounds: How many there are.
        target: Sparsity after the last.

    Reference:
        Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", section 2.
    """
    return 1 - (1 - target) ** (number / rounds)
