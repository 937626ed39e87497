"""Training in which all weights of a code move as one."""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from workbench.compression.clustering import Clustered
from workbench.training import Addition


class CentroidTuning(Addition):
    """Moves the values of a codebook: the gradient of a value is the sum over its weights.

    Every weight of a code starts at one value and is given that sum as its gradient, so all take
    the same steps; after each step they are set to the first of them, for the last bit's sake.
    Weights of code 0 have no gradient and stay exactly zero.

    Args:
        clustered: The codes; the module that is trained holds its weights.

    Reference:
        Han et al. 2016, "Deep Compression", section 3.3 and equation 3.
    """

    def __init__(self, clustered: Clustered) -> None:
        self._codes = {
            name: (torch.from_numpy(entry.codes.astype("int64")), len(entry.values))
            for name, entry in clustered.clustered.items()
        }
        self._books: dict[str, _Book] = {}
        self._hooks: list[RemovableHandle] = []

    def prepare_(self, module: nn.Module, steps: int) -> None:  # noqa: ARG002
        """Put a hook on every clustered weight that replaces its gradient."""
        parameters = dict(module.named_parameters(remove_duplicate=False))
        for name, (codes, count) in self._codes.items():
            if name not in parameters:
                continue  # a buffer is not trained
            weight = parameters[name].requires_grad_()
            book = _Book(codes.to(weight.device), count)
            self._books[name] = book
            self._hooks.append(weight.register_hook(book.shared_gradient))

    def after_step_(self, module: nn.Module, part: float) -> None:  # noqa: ARG002
        """Set all weights of a code to the first of them."""
        for name, book in self._books.items():
            book.level_(module.get_parameter(name))

    def finish_(self, module: nn.Module) -> None:
        """Take the hooks off and make the weights of a code equal, to the last bit."""
        for hook in self._hooks:
            hook.remove()
        for name, (codes, count) in self._codes.items():
            if name in self._books:
                _Book(codes, count).level_(module.get_parameter(name))


class _Book:
    """The codes of one weight, and where each code is first found."""

    def __init__(self, codes: Tensor, count: int) -> None:
        self._codes, self._count = codes, count
        flat = codes.reshape(-1)
        places = torch.arange(flat.numel(), device=flat.device)
        first = torch.full((count + 1,), flat.numel(), device=flat.device)
        self._first = first.scatter_reduce(0, flat, places, "amin").clamp(max=flat.numel() - 1)

    def shared_gradient(self, gradient: Tensor) -> Tensor:
        """For every weight the sum over all weights of its code; none for code 0."""
        sums = gradient.new_zeros(self._count + 1)
        sums.index_add_(0, self._codes.reshape(-1), gradient.reshape(-1))
        sums[0] = 0
        return _like(sums[self._codes], gradient)

    @torch.no_grad()
    def level_(self, weight: Tensor) -> None:
        """Give every weight the value of the first one of its code."""
        values = weight.reshape(-1)[self._first]
        values[0] = 0
        weight.copy_(values[self._codes])


def _like(tensor: Tensor, other: Tensor) -> Tensor:
    """A tensor laid out in memory as another."""
    return torch.empty_like(other).copy_(tensor)
