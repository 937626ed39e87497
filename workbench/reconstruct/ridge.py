"""Ridge regression of a layer's weights onto wanted outputs, with masks and clamps."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Bounds = tuple[float, float] | None
Check = Callable[[], None]
"""Called in the middle of long work; may raise to end it."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Ridge strengths to try, relative to each input's own square."""
CLAMP_STEPS = 6
FURTHER = 1.6
"""How far to go towards each solution; beyond 1 fewer steps come as close."""
HELD_OUT = 8
"""One row in so many judges the solution and takes no part in it."""
ENOUGH_ROWS = 20
"""With so many rows for each unknown the held-out ones are not missed in the solution."""
CHUNK = 4_096
WORST = 1e9
"""The largest error told, also of outputs that are no numbers."""
MAX_NUMBERS = 2**23
"""Numbers that the matrices of outputs with masks of their own may hold together."""
CONJUGATE_STEPS, FURTHER_STEPS = 32, 8
"""Steps of conjugate gradients from nothing and from a solution that is close."""
DECIDING = 16
"""About so many masked outputs decide on the strength of the ridge for all."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs and wanted outputs of a layer at sampled places.

    Shapes: g groups, r rows, k inputs of a group, o outputs of a group.

    Attributes:
        inputs: ``(g, r, k)``.
        wanted: ``(g, r, o)``.
        offset: ``(g, r, o)``, what is added to the layer's output; None for nothing.
        weight: ``(g, o, k)`` as pruning left it.
        bias: ``(g, o)`` as pruning left it.
        mask: ``(g, o, k)``, True = kept; None keeps all.
        free_bias: Whether the layer can take a new bias.
        bounds: What the activation behind it lets through; None for everything.
    """

    inputs: Tensor
    wanted: Tensor
    offset: Tensor | None
    weight: Tensor
    bias: Tensor
    mask: Tensor | None
    free_bias: bool
    bounds: Bounds

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return self.inputs.shape[1]

    def cut(self, start: int, end: int) -> "Problem":
        """The same with some of the rows."""
        offset = None if self.offset is None else self.offset[:, start:end]
        inputs, wanted = self.inputs[:, start:end], self.wanted[:, start:end]
        return replace(self, inputs=inputs, wanted=wanted, offset=offset)

    def narrowed(self, outputs: slice) -> "Problem":
        """The same for some of the outputs of every group."""
        return replace(
            self, wanted=self.wanted[..., outputs], weight=self.weight[:, outputs],
            offset=None if self.offset is None else self.offset[..., outputs],
            bias=self.bias[:, outputs], mask=None if self.mask is None else self.mask[:, outputs],
        )  # fmt: skip

    def outputs(self, weight: Tensor, bias: Tensor) -> Tensor:
        """What weights give: ``(g, r, o)``, with the offset, before the clamp."""
        found = self.inputs @ weight.transpose(1, 2) + bias[:, None]
        return found if self.offset is None else found.add_(self.offset)

    def error(self, weight: Tensor, bias: Tensor) -> float:
        """Squared distance to the wanted outputs as a share of their variance, clamped."""
        return self.error_of(self.outputs(weight, bias))

    def error_of(self, outputs: Tensor) -> float:
        """The same of outputs, ``(g, r, o)``."""
        return relative_error(outputs, self.wanted, self.bounds)


@dataclass(frozen=True, eq=False)
class Solution:
    """New weights of a layer.

    Attributes:
        weight: ``(groups, outputs, inputs)``.
        bias: ``(groups, outputs)``.
        error: On held-out rows, as ``Problem.error`` counts.
        clamps: Whether the activation was taken into account.
    """

    weight: Tensor
    bias: Tensor
    error: float
    clamps: bool


def no_check() -> None:
    """Lets work go on."""


def clamped(values: Tensor, bounds: Bounds) -> Tensor:
    """What an activation lets through."""
    return values if bounds is None else values.clamp(*bounds)


def spread_of(wanted: Tensor, bounds: Bounds) -> Tensor:
    """Summed squares of wanted outputs ``(g, r, o)``, clamped, about their means; a number."""
    wanted = clamped(wanted, bounds)
    return (wanted - wanted.mean(1, keepdim=True)).square().sum()


def relative_error(outputs: Tensor, wanted: Tensor, bounds: Bounds) -> float:
    """Squared distance of outputs, ``(g, r, o)``, as a share of the variance of those wanted."""
    wrong = (clamped(outputs, bounds) - clamped(wanted, bounds)).square().sum()
    spread = spread_of(wanted, bounds).clamp(min=1e-12)
    return min(WORST, float((wrong / spread).nan_to_num(nan=WORST)))


def moved(wanted: Tensor, outputs: Tensor, bounds: Bounds) -> Tensor:
    """Wanted outputs that may be anything beyond a bound, moved there to what is there already."""
    if bounds is None:
        return wanted
    low, high = bounds
    free = torch.where(wanted <= low, outputs.clamp(max=low), wanted)
    return free if math.isinf(high) else torch.where(wanted >= high, outputs.clamp(min=high), free)


def hold_out(problem: Problem) -> tuple[Problem, Problem]:
    """Rows to solve with and rows to judge with; the latter come from other images."""
    last = problem.num_rows - max(1, problem.num_rows // HELD_OUT)
    return problem.cut(0, last), problem.cut(last, problem.num_rows)


def solve(problem: Problem, check: Check = no_check) -> Solution:
    """The weights and bias that reproduce the wanted outputs best.

    Ridge regression towards the present weights. Its strength is the one with the least error on
    held-out rows. With masks every output is solved on its own support: by Cholesky factors of
    its own or, where supports are so large that this costs more, by conjugate gradients within
    the masks. With a clamp behind the layer, outputs that fall on the wanted side of it are as
    good as exact: their wanted values move there and the system is solved again, several times.

    Args:
        problem: What is wanted.
        check: Called at every step of the solution; may raise to end it.

    References:
        He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1;
        Zhang et al. 2015, "Accelerating Very Deep Convolutional Networks", section 3.2 (inputs of
        the smaller network, the activation); Frantar and Alistarh 2022, "Optimal Brain
        Compression", section 4 (a support for every output).
    """
    fitting, judging = hold_out(problem)
    system = _System(fitting, check)
    strength = _best_strength(system, judging)
    weight, bias = system.solve(strength, system.wanted)
    best = Solution(weight, bias, judging.error(weight, bias), False)
    if problem.bounds is not None:
        weight, bias = _solve_clamped(system, strength, best)
        error = judging.error(weight, bias)
        if error < best.error:
            best = Solution(weight, bias, error, True)
    if fitting.num_rows < ENOUGH_ROWS * problem.inputs.shape[2]:
        best = _with_all_rows(problem, strength, best, check)
    return best


def _best_strength(system: "_System", judging: Problem) -> float:
    """The ridge strength with the least error; with masks some of the outputs decide."""
    if system.problem.mask is not None:
        some = slice(None, None, max(1, judging.wanted.shape[2] // DECIDING))
        system, judging = system.narrowed(some), judging.narrowed(some)
    errors = {
        strength: judging.error(*system.solve(strength, system.wanted)) for strength in STRENGTHS
    }
    return min(errors, key=lambda strength: errors[strength])


def _with_all_rows(
    problem: Problem, strength: float, found: Solution, check: Check
) -> Solution:  # fmt: skip
    """The same again, with the rows that judged it."""
    system = _System(problem, check)
    weight, bias = system.solve(strength, system.wanted)
    if found.clamps:
        weight, bias = _solve_clamped(system, strength, replace(found, weight=weight, bias=bias))
    return replace(found, weight=weight, bias=bias)


def _solve_clamped(
    system: "_System", strength: float, start: Solution
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Let wanted outputs beyond a bound be anything beyond it; converges, the loss is convex."""
    problem, weight, bias = system.problem, start.weight, start.bias
    for step in range(1, CLAMP_STEPS + 1):
        outputs = problem.outputs(weight, bias)
        wanted = moved(problem.wanted, outputs, problem.bounds)
        better, shift = system.solve(strength, wanted, weight)
        reach = FURTHER if step < CLAMP_STEPS else 1.0
        weight, bias = weight.lerp(better, reach), bias.lerp(shift, reach)
    return weight, bias


class _System:
    """The normal equations of a problem, factored once for each strength."""

    def __init__(self, problem: Problem, check: Check) -> None:
        self.problem, self._check = problem, check
        self.wanted = problem.wanted
        self.mean = problem.inputs.mean(1, keepdim=True)
        if not problem.free_bias:
            self.mean = torch.zeros_like(self.mean)
        self.inputs = problem.inputs - self.mean
        self.gram = sum_products(self.inputs, self.inputs, check)
        self._factors: dict[float, Tensor] = {}
        self._support: Tensor | None = None
        if problem.mask is not None:
            self._support = support_of(problem.mask)
        self._present = self.inputs @ problem.weight.transpose(1, 2)

    def narrowed(self, outputs: slice) -> "_System":
        """The same for some of the outputs of every group."""
        narrow = copy.copy(self)
        narrow.problem = self.problem.narrowed(outputs)
        narrow.wanted = narrow.problem.wanted
        narrow._present = self._present[..., outputs]
        narrow._factors = {}
        if narrow.problem.mask is not None:
            narrow._support = support_of(narrow.problem.mask)
        return narrow

    def solve(
        self, strength: float, wanted: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Weight and bias for wanted outputs ``(g, r, o)``, the offset included."""
        self._check()
        problem = self.problem
        missing = wanted - self._present
        if problem.offset is not None:
            missing -= problem.offset
        bias = problem.bias
        mean = missing.mean(1, keepdim=True)
        if not problem.free_bias:
            mean = bias[:, None]
        product = sum_products(missing.sub_(mean), self.inputs, self._check)
        change = self._change(strength, product, start)
        weight = problem.weight + change.float()
        if problem.free_bias:
            bias = (mean - self.mean @ weight.transpose(1, 2))[:, 0]
        return weight, bias

    def _change(self, strength: float, product: Tensor, start: Tensor | None) -> Tensor:
        """What to add to the present weights: ``(g, o, k)`` in double precision."""
        self._check()
        mask = self.problem.mask
        if mask is None:
            if strength not in self._factors:
                self._factors[strength] = torch.linalg.cholesky(self._damped(strength))
            return torch.cholesky_solve(product.mT, self._factors[strength]).mT
        assert self._support is not None
        if self._by_row_is_cheaper():
            return self._by_row(strength, product, mask, self._support)
        before = None if start is None else start - self.problem.weight
        matrix = self._damped(strength)
        diagonal = matrix.diagonal(dim1=1, dim2=2)[:, None]
        return conjugate_gradients(
            lambda x: x @ matrix, diagonal, product, mask, before, self._check
        )

    def _damped(self, strength: float) -> Tensor:
        diagonal = self.gram.diagonal(dim1=1, dim2=2)
        level = diagonal.mean(1, keepdim=True)
        return self.gram + torch.diag_embed(strength * diagonal + 1e-9 * level + 1e-12)

    def _by_row_is_cheaper(self) -> bool:
        assert self._support is not None
        groups, outputs, most = self._support.shape
        if groups * outputs * most**2 > MAX_NUMBERS:
            return False
        by_row = groups * outputs * most**3 / 3
        return by_row <= CONJUGATE_STEPS * groups * outputs * self.gram.shape[1] ** 2

    def _by_row(self, strength: float, product: Tensor, mask: Tensor, support: Tensor) -> Tensor:
        """Every output on its own support; supports of unequal size are padded."""
        valid = mask.gather(-1, support)
        if strength not in self._factors:
            group = torch.arange(len(mask), device=mask.device)[:, None, None, None]
            matrix = self._damped(strength)[group, support[..., :, None], support[..., None, :]]
            matrix *= valid[..., :, None] & valid[..., None, :]
            matrix += torch.diag_embed((~valid).double())
            self._factors = {strength: torch.linalg.cholesky(matrix)}
        right = product.gather(-1, support) * valid
        found = torch.cholesky_solve(right[..., None], self._factors[strength])[..., 0]
        return torch.zeros_like(product).scatter(-1, support, found * valid) * mask


def support_of(mask: Tensor) -> Tensor:
    """Places of the kept inputs of every output, first in each row: ``(g, o, most)``."""
    most = max(1, int(mask.sum(-1).max()))
    return mask.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :most]


def sum_products(left: Tensor, right: Tensor, check: Check = no_check) -> Tensor:
    """``left^T right`` over the rows, added up in double precision."""
    total = torch.zeros(
        left.shape[0], left.shape[2], right.shape[2], dtype=torch.double, device=left.device
    )
    for one, other in zip(left.split(CHUNK, 1), right.split(CHUNK, 1), strict=True):
        check()
        total += one.mT @ other
    return total


def conjugate_gradients(
    times: Callable[[Tensor], Tensor], diagonal: Tensor, product: Tensor, mask: Tensor,
    start: Tensor | None, check: Check = no_check,
) -> Tensor:  # fmt: skip
    """Solve ``x matrix = product`` for every output within its mask, all of them at once.

    Args:
        times: Multiplies ``(g, o, k)`` by the matrix, which is positive definite; every output may
            have a matrix of its own.
        diagonal: Of the matrix, ``(g, 1 or o, k)``.
        product: ``(g, o, k)``.
        mask: ``(g, o, k)``.
        start: A first guess ``(g, o, k)`` within the masks.
        check: Called before every step.
    """
    inverse = diagonal.reciprocal()
    x = torch.zeros_like(product) if start is None else start.double() * mask
    residual = (product - times(x)) * mask
    scaled = residual * inverse
    direction = scaled
    norm = (residual * scaled).sum(-1, keepdim=True)
    goal = 1e-8 * (product * mask * product * inverse).sum(-1, keepdim=True)
    for _ in range(CONJUGATE_STEPS if start is None else FURTHER_STEPS):
        check()
        if bool((norm <= goal).all()):
            break
        ahead = times(direction) * mask
        step = norm / (direction * ahead).sum(-1, keepdim=True).clamp(min=1e-300)
        x = x + step * direction
        residual = residual - step * ahead
        scaled = residual * inverse
        last, norm = norm, (residual * scaled).sum(-1, keepdim=True)
        direction = scaled + norm / last.clamp(min=1e-300) * direction
    return x
