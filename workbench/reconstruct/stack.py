"""Ridge regression of one weight that several uses share, each with its own inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.reconstruct.ridge import (
    CLAMP_STEPS,
    ENOUGH_ROWS,
    FURTHER,
    HELD_OUT,
    MAX_NUMBERS,
    STRENGTHS,
    Bounds,
    Check,
    conjugate_gradients,
    moved,
    no_check,
    relative_error,
    spread_of,
    sum_products,
    support_of,
)

ROUNDS = 2
"""How often the weight is solved for the factors of the uses, and these for the weight."""


@dataclass(frozen=True, eq=False)
class Use:
    """One use of a shared weight: it gives ``factor * (inputs @ weight) + bias + offset``.

    Shapes: g groups, r rows, k inputs of a group, o outputs of a group.

    Attributes:
        inputs: ``(g, r, k)``, what the use has in the pruned network.
        wanted: ``(g, r, o)``, what it gives in the dense network.
        offset: ``(g, r, o)``, what is added to its output; None for nothing.
        bounds: What the activation behind it lets through; None for everything.
        factor: ``(g, o)``, that of its BatchNorm; ones where it has none.
        bias: ``(g, o)``.
        slot: Uses of one slot have one bias, which is solved for; None keeps the bias.
        has_norm: Whether factor and bias are its own, so that they are solved for as well.
    """

    inputs: Tensor
    wanted: Tensor
    offset: Tensor | None
    bounds: Bounds
    factor: Tensor
    bias: Tensor
    slot: str | None
    has_norm: bool = False

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return self.inputs.shape[1]

    def held_out(self) -> tuple["Use", "Use"]:
        """Rows to solve with and rows to judge with, as ``ridge.hold_out`` has them."""
        last = self.num_rows - max(1, self.num_rows // HELD_OUT)
        return self._cut(0, last), self._cut(last, self.num_rows)

    def outputs(self, weight: Tensor) -> Tensor:
        """What a weight ``(g, o, k)`` gives: ``(g, r, o)``, before the clamp."""
        return self._outputs(self.inputs @ weight.mT)

    def error(self, weight: Tensor) -> float:
        """Squared distance to the wanted outputs as a share of their variance, clamped."""
        return relative_error(self.outputs(weight), self.wanted, self.bounds)

    def with_fitted_norm(self, weight: Tensor) -> "Use":
        """With the factor and bias that suit a weight best: least squares, channel by channel."""
        raw = self.inputs @ weight.mT
        var, mean = torch.var_mean(raw, 1, correction=0)
        centred = raw - mean[:, None]
        usable = var > 1e-12
        found = self
        steps = 1 if self.bounds is None else CLAMP_STEPS
        for step in range(1, steps + 1):
            wanted = self.wanted
            if self.bounds is not None:
                wanted = moved(wanted, found._outputs(raw), self.bounds)
            wanted = wanted if self.offset is None else wanted - self.offset
            shared = (centred * wanted).mean(1)
            factor = torch.where(usable, shared / var.clamp(min=1e-12), found.factor)
            bias = wanted.mean(1) - factor * mean
            reach = FURTHER if step < steps else 1.0
            factor, bias = found.factor.lerp(factor, reach), found.bias.lerp(bias, reach)
            found = replace(found, factor=factor, bias=bias)
        return found

    def _outputs(self, raw: Tensor) -> Tensor:
        found = raw * self.factor[:, None]
        found += self.bias[:, None]
        return found if self.offset is None else found.add_(self.offset)

    def _cut(self, start: int, end: int) -> "Use":
        offset = None if self.offset is None else self.offset[:, start:end]
        inputs, wanted = self.inputs[:, start:end], self.wanted[:, start:end]
        return replace(self, inputs=inputs, wanted=wanted, offset=offset)


@dataclass(frozen=True, eq=False)
class Fit:
    """A shared weight ``(g, o, k)`` and what its uses do with it.

    Attributes:
        weight: The weight.
        factors: Of every use, ``(g, o)``.
        biases: Of every use, ``(g, o)``; equal within a slot.
        clamps: Whether the activations behind the uses were taken into account.
    """

    weight: Tensor
    factors: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    clamps: bool = False

    def part_of_the_way(self, uses: Sequence[Use], weight: Tensor, reach: float) -> "Fit":
        """Between what the uses have now, 0, and this, 1."""
        return replace(
            self, weight=weight.lerp(self.weight, reach),
            factors=tuple(u.factor.lerp(f, reach) for u, f in zip(uses, self.factors, strict=True)),
            biases=tuple(u.bias.lerp(b, reach) for u, b in zip(uses, self.biases, strict=True)),
        )  # fmt: skip

    def given_to(self, uses: Sequence[Use]) -> list[Use]:
        """The uses with these factors and biases."""
        return [
            replace(use, factor=factor, bias=bias)
            for use, factor, bias in zip(uses, self.factors, self.biases, strict=True)
        ]

    def error(self, uses: Sequence[Use]) -> float:
        """Mean of the errors of the uses, each a share of the variance of its own outputs."""
        return mean_error([use.error(self.weight) for use in self.given_to(uses)])


def mean_error(errors: Sequence[float]) -> float:
    """Every use counts the same, however many rows it has and however large its outputs are."""
    return sum(errors) / len(errors)


def solve_stack(
    uses: Sequence[Use], weight: Tensor, mask: Tensor | None, check: Check = no_check
) -> Fit:
    """The one weight that reproduces the wanted outputs of all its uses best.

    The rows of all uses are stacked and solved as one ridge regression towards the present weight.
    Rows are weighed by one over the variance of the outputs that their use should have, summed
    over its rows and channels: what is minimised is the sum of the relative errors of the uses,
    the number by which the result is judged. Without the weights, a use with large outputs, or
    with more places, would have the weight to itself.

    A use with a BatchNorm of its own multiplies by a factor of its own, which multiplies its rows
    here; where these factors differ from output to output, so do the systems. Factors and biases
    of such uses are solved for the new weight, and the weight for these, in turns.

    Args:
        uses: At least one, each with wanted outputs that vary.
        weight: ``(g, o, k)`` as pruning left it.
        mask: ``(g, o, k)``, True = kept; None keeps all.
        check: Called at every step of the solution; may raise to end it.

    Returns:
        The weight with the least error on held-out rows.

    References:
        As ``ridge.solve``; one weight for several places is the multi-response regression of
        Caruana 1997, "Multitask Learning", with the tasks' rows in one system.
    """
    fitting, judging = (list(part) for part in zip(*(use.held_out() for use in uses), strict=True))
    system = _System(fitting, weight, mask, check)
    wanted = [use.wanted for use in fitting]
    tried = {strength: system.solve(strength, wanted) for strength in STRENGTHS}
    errors = {strength: fit.error(judging) for strength, fit in tried.items()}
    strength = min(errors, key=lambda one: errors[one])
    best, least = tried[strength], errors[strength]
    if sum(use.num_rows for use in fitting) < ENOUGH_ROWS * weight.shape[2]:
        system = _System(list(uses), weight, mask, check)
        best = system.solve(strength, [use.wanted for use in uses])
    fit = best
    for number in range(ROUNDS):
        if number:
            system = _System(fit.given_to(system.uses), weight, mask, check)
            fit = system.solve(strength, [use.wanted for use in system.uses], fit.weight)
        if any(use.bounds is not None for use in uses):
            fit = _clamped(system, strength, fit)
        candidates = [fit]
        if any(use.has_norm for use in uses):
            fit = _with_fitted_norms(system.uses, fit)
            candidates.append(fit)
        for candidate in candidates:
            error = candidate.error(judging)
            if error < least:
                best, least = candidate, error
        if len(candidates) == 1:
            break
    return best


def _with_fitted_norms(uses: Sequence[Use], fit: Fit) -> Fit:
    fitted = [
        use.with_fitted_norm(fit.weight) if use.has_norm else use for use in fit.given_to(uses)
    ]
    return replace(
        fit, factors=tuple(use.factor for use in fitted), biases=tuple(use.bias for use in fitted)
    )


def _clamped(system: "_System", strength: float, fit: Fit) -> Fit:
    """Let wanted outputs beyond a bound be anything beyond it, as ``ridge.solve`` does."""
    for step in range(1, CLAMP_STEPS + 1):
        wanted = [
            moved(use.wanted, use.outputs(fit.weight), use.bounds)
            for use in fit.given_to(system.uses)
        ]
        better = system.solve(strength, wanted, fit.weight)
        reach = FURTHER if step < CLAMP_STEPS else 1.0
        biases = [
            one.lerp(other, reach) for one, other in zip(fit.biases, better.biases, strict=True)
        ]
        fit = Fit(fit.weight.lerp(better.weight, reach), better.factors, tuple(biases), True)
    return fit


class _System:
    """The normal equations of all uses, for the factors that they have."""

    def __init__(
        self, uses: Sequence[Use], weight: Tensor, mask: Tensor | None, check: Check
    ) -> None:
        self.uses, self._check = uses, check
        self._weight, self._mask = weight, mask
        spreads = torch.stack([spread_of(use.wanted, use.bounds) for use in uses]).double()
        self._shares = (spreads.mean() / spreads).tolist()
        self._slots = [use.slot for use in uses]
        self._means = self._averaged([use.inputs for use in uses])
        self._inputs = [
            use.inputs if mean is None else use.inputs - mean[:, None]
            for use, mean in zip(uses, self._means, strict=True)
        ]
        self._present = [
            inputs @ weight.mT * use.factor[:, None]
            for use, inputs in zip(uses, self._inputs, strict=True)
        ]
        grams = [sum_products(inputs, inputs, check) for inputs in self._inputs]
        factors = [
            share * use.factor.double().square()
            for use, share in zip(uses, self._shares, strict=True)
        ]
        if not any(use.has_norm for use in uses):  # then all outputs have the same system
            total = sum(share * gram for share, gram in zip(self._shares, grams, strict=True))
            assert isinstance(total, Tensor)
            grams, factors = [total], [torch.ones_like(factors[0][:, :1])]
        self._grams, self._factors = grams, factors
        self._cholesky: dict[float, Tensor] = {}

    def solve(
        self, strength: float, wanted: Sequence[Tensor], start: Tensor | None = None
    ) -> Fit:  # fmt: skip
        """The weight for wanted outputs ``(g, r, o)`` of every use, the offsets included."""
        self._check()
        missing = []
        for use, target, present in zip(self.uses, wanted, self._present, strict=True):
            rest = target - present if use.offset is None else target - present - use.offset
            missing.append(rest if use.slot is not None else rest - use.bias[:, None])
        means = self._averaged(missing)
        product: Tensor | float = 0.0
        for use, share, rest, mean, inputs in zip(
            self.uses, self._shares, missing, means, self._inputs, strict=True
        ):
            rest = rest if mean is None else rest - mean[:, None]
            product = product + sum_products(
                rest * (share * use.factor)[:, None], inputs, self._check
            )
        assert isinstance(product, Tensor)
        weight = self._weight + self._change(strength, product, start).float()
        biases = tuple(
            use.bias if mean is None or centre is None
            else mean - use.factor * (centre[:, None] @ weight.mT)[:, 0]
            for use, mean, centre in zip(self.uses, means, self._means, strict=True)
        )  # fmt: skip
        return Fit(weight, tuple(use.factor for use in self.uses), biases)

    def _averaged(self, values: Sequence[Tensor]) -> list[Tensor | None]:
        """Weighed mean over the rows of all uses of a slot, ``(g, ...)``; None without a slot."""
        found: dict[str, Tensor] = {}
        for slot in {slot for slot in self._slots if slot is not None}:
            mine = [i for i, other in enumerate(self._slots) if other == slot]
            rows = sum(self._shares[i] * values[i].shape[1] for i in mine)
            found[slot] = (
                torch.stack([self._shares[i] * values[i].sum(1) for i in mine]).sum(0) / rows
            )
        return [None if slot is None else found[slot] for slot in self._slots]

    def _change(self, strength: float, product: Tensor, start: Tensor | None) -> Tensor:
        """What to add to the present weight: ``(g, o, k)`` in double precision."""
        diagonal = self._diagonal()
        damping = strength * diagonal + 1e-9 * diagonal.mean(-1, keepdim=True) + 1e-12
        if self._mask is None and len(self._grams) == 1:
            if strength not in self._cholesky:
                matrix = self._grams[0] + torch.diag_embed(damping[:, 0])
                self._cholesky = {strength: torch.linalg.cholesky(matrix)}
            return torch.cholesky_solve(product.mT, self._cholesky[strength]).mT
        mask = torch.ones_like(product, dtype=torch.bool) if self._mask is None else self._mask
        support = support_of(mask)
        if product.shape[0] * product.shape[1] * support.shape[2] ** 2 <= MAX_NUMBERS:
            return self._by_row(strength, product, mask, support, damping)

        def times(x: Tensor) -> Tensor:
            found = damping * x
            for gram, factor in zip(self._grams, self._factors, strict=True):
                found += factor[..., None] * (x @ gram)
            return found

        before = None if start is None else start - self._weight
        return conjugate_gradients(times, diagonal + damping, product, mask, before, self._check)

    def _diagonal(self) -> Tensor:
        """``(g, o or 1, k)``."""
        parts = [
            factor[..., None] * gram.diagonal(dim1=1, dim2=2)[:, None]
            for gram, factor in zip(self._grams, self._factors, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def _by_row(
        self, strength: float, product: Tensor, mask: Tensor, support: Tensor, damping: Tensor
    ) -> Tensor:  # fmt: skip
        """Every output on its own support; supports of unequal size are padded."""
        valid = mask.gather(-1, support)
        if strength not in self._cholesky:
            group = torch.arange(len(mask), device=mask.device)[:, None, None, None]
            matrix = torch.diag_embed(damping.expand_as(product).gather(-1, support))
            for gram, factor in zip(self._grams, self._factors, strict=True):
                part = gram[group, support[..., :, None], support[..., None, :]]
                matrix += factor[..., None, None] * part
            matrix *= valid[..., :, None] & valid[..., None, :]
            matrix += torch.diag_embed((~valid).double())
            self._cholesky = {strength: torch.linalg.cholesky(matrix)}
        right = product.gather(-1, support) * valid
        found = torch.cholesky_solve(right[..., None], self._cholesky[strength])[..., 0]
        return torch.zeros_like(product).scatter(-1, support, found * valid) * mask
