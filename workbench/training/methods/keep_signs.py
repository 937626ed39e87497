"""Sign keeping: a pull on weights whose sign is no longer what it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.training.additions import Addition
from workbench.training.method import FineTuning

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.model import Model


class KeepSigns(Addition):
    """Adds the magnitudes of all weights whose sign has left that at the start, times a strength.

    A weight that is zero at the start, as a pruned one is, may become what it likes.

    Args:
        strength: By which the sum of magnitudes is multiplied.
        names: Of the parameters that are watched, in the state dict.
    """

    def __init__(self, strength: float, names: Sequence[str]) -> None:
        self._strength, self._names = strength, tuple(names)
        self._watched: list[tuple[nn.Parameter, Tensor]] = []

    def prepare_(self, module: nn.Module, steps: int) -> None:  # noqa: ARG002
        """Note the signs."""
        parameters = [module.get_parameter(name) for name in self._names]
        self._watched = [(one, one.detach().sign()) for one in parameters]

    def loss(self, module: nn.Module, part: float) -> Tensor | None:  # noqa: ARG002
        """The penalty, a scalar."""
        terms = [(-weight * sign).relu().sum() for weight, sign in self._watched]
        return self._strength * sum(terms[1:], terms[0]) if terms else None

    def values(self) -> dict[str, float]:
        """Share of the watched weights whose sign has changed."""
        changed = sum(int((weight * sign < 0).sum()) for weight, sign in self._watched)
        count = sum(int(sign.count_nonzero()) for _, sign in self._watched)
        return {"signs_changed": changed / max(1, count)}


def shared_signs(model: Model, strength: float) -> KeepSigns:
    """Keep the signs of a network's shared weights; where it shares none, those of all weights.

    Args:
        model: The pruned model, as the training finds it.
        strength: Of the penalty.
    """
    from workbench.layers import inspect

    rows = inspect(model).prunable
    shared = [row for row in rows if row.shared]
    return KeepSigns(strength, [row.parameter_name for row in shared or rows])


METHOD = FineTuning(
    name="keep_signs",
    title="Sign keeping",
    summary="Pulls shared weights back whose sign is no longer what it was before the training.",
    explanation=(
        "A weight that several places of a network share is pulled by the gradients of all of "
        "them, and after pruning these may disagree: one use wants it positive, another negative. "
        "The sign of a weight says what it looks for, and most of what a network has learnt lies "
        "in its signs rather than in exact magnitudes. This penalty adds the magnitude of every "
        "shared weight that has crossed zero since the training began, so that magnitudes are "
        "free and only a change of sign costs something. In a network that shares no weights it "
        "watches all of them."
    ),
    formula=r"\lambda \sum_i \max\bigl(0, -w_i\,\mathrm{sign}(w_i^{0})\bigr)",
    paper='Zhou et al. 2019, "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", '
    "section 4 (why signs matter)",
    needs=("training",),
    strengths="Keeps the role of a shared weight in all of its places; costs next to nothing.",
    limits="Keeps signs that were wrong as well; after a long training it can stand in the way.",
    settings={"keep_signs": 0.01},
    addition=shared_signs,
)
