"""Combine models, compare them with the dense one, and search for the best within its size."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from workbench.accounting import BYTES_PER_PARAM
from workbench.data import Data
from workbench.ensembles.ensemble import Combine
from workbench.ensembles.registry import ENSEMBLES
from workbench.ensembles.values import (
    MAX_MEMBERS,
    UNITS,
    Combined,
    Ensembles,
    EnsembleSettings,
    Member,
)
from workbench.errors import SettingsError
from workbench.metrics import is_right, measure_size
from workbench.model import Model, check_fit
from workbench.outputs import OutputCache
from workbench.paired import Paired, Proportion, compare_paired
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    abandonable,
    ignore,
    never,
    raise_if_stopped,
)

FOLDS = 5
MAX_TRIED = 2_000
SHORTLIST = 5
"""Ensembles that a method that learns is tried on: the best by averaging within the budget."""
_TOTAL = 1_000


def combine_models(
    dense: Model, models: Mapping[str, Model], data: Data,
    settings: EnsembleSettings | None = None, *, cache: OutputCache | None = None,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> Ensembles | None:  # fmt: skip
    """Combine models by every method, and compare them with the dense model.

    What is learnt and what is chosen rests on the validation split; the test split gives the final
    numbers.

    Args:
        dense: What all is compared with; it is no member.
        models: What a page shows to the model; at least two.
        data: Images that fit them all.
        settings: How to combine.
        cache: Remembers what models answer.
        device: Where the networks run.
        report: Hears of every batch and every step of the search.
        should_stop: Gives up.

    Returns:
        What was found; None if stopped.

    Raises:
        DataError: If the data do not fit a model.
        SettingsError: If there are fewer than two models or too many.
    """
    settings = settings or EnsembleSettings()
    _check_count(len(models))
    everyone = [("the dense model", dense), *models.items()]
    for _, model in everyone:
        check_fit(model, data)
    cache = cache or OutputCache()
    answers = []
    for number, (name, model) in enumerate(everyone):
        found = _answers(model, data, cache, device, _part(report, number, len(everyone), name),
                         should_stop)  # fmt: skip
        if found is None:
            return None
        answers.append(found)
    table = _Table(data, answers[0], answers[1:], models, should_stop)
    best: dict[str, Combined | None] = {}
    tried: dict[str, int] = {}
    try:
        combined = tuple(table.combine(name, range(len(models)), settings.seed)
                         for name in settings.methods)  # fmt: skip
        for unit in UNITS if settings.search else ():
            report(Progress(_TOTAL, _TOTAL, f"Searching within the dense model's {_word(unit)}"))
            best[unit], tried[unit] = table.search(dense, unit, settings)
    except StoppedError:
        return None
    return Ensembles(
        settings, data.digest, table.member("dense", dense, None), table.members, combined, best,
        tried,
    )  # fmt: skip


@dataclass(frozen=True)
class _Answers:
    """Log-probabilities of one model, ``(samples, classes)``."""

    validation: Tensor
    test: Tensor


class _Table:
    """The answers of all models to the same images, and the labels of these."""

    def __init__(
        self, data: Data, dense: _Answers, answers: Sequence[_Answers],
        models: Mapping[str, Model], should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._should_stop = should_stop
        self._labels = {s: data.split(s).labels for s in ("validation", "test")}
        self._dense = dense
        self._dense_right = is_right(dense.test, self._labels["test"])
        self._validation = torch.stack([one.validation for one in answers])
        self._test = torch.stack([one.test for one in answers])
        self._classes = dense.test.shape[1]
        self.members = tuple(
            self.member(name, model, number)
            for number, (name, model) in enumerate(models.items())
        )  # fmt: skip

    def member(self, name: str, model: Model, number: int | None) -> Member:
        """A model alone; None is the dense one."""
        size = measure_size(model)
        validation = self._dense.validation if number is None else self._validation[number]
        test = self._dense.test if number is None else self._test[number]
        return Member(
            name, model.digest, size.bytes, size.macs,
            _share(is_right(validation, self._labels["validation"])),
            _share(is_right(test, self._labels["test"])),
            None if number is None else self._paired(test),
        )  # fmt: skip

    def combine(self, method: str, chosen: Iterable[int], seed: int) -> Combined:
        """An ensemble with its test accuracy.

        Args:
            method: A name in ``ENSEMBLES``.
            chosen: Numbers of its members.
            seed: Of the cross-validation.
        """
        numbers = list(chosen)
        right = self._judge(method, numbers, seed)
        together = self._make(method, self._validation[numbers], self._labels["validation"])
        scores = together(self._test[numbers])
        return Combined(
            method, tuple(self.members[n].name for n in numbers),
            self._size(method, numbers, "bytes"), self._size(method, numbers, "macs"),
            _share(right), _share(is_right(scores, self._labels["test"])), self._paired(scores),
        )  # fmt: skip

    def _make(self, method: str, logs: Tensor, labels: Tensor) -> Combine:
        """What a method learns from answers ``(members, samples, classes)``; a fit can be long."""
        ensemble = ENSEMBLES[method]
        if not ensemble.learns:
            return ensemble.make(logs, labels)
        return abandonable(lambda: ensemble.make(logs, labels), self._should_stop)

    def search(
        self, dense: Model, unit: str, settings: EnsembleSettings
    ) -> tuple[Combined | None, int]:
        """The best ensemble no larger than the dense model, and how many were compared.

        Compared by accuracy on validation images; of equals the smaller one is taken. Methods that
        learn are tried on those that are best by averaging.
        """
        size = measure_size(dense)
        budget = size.bytes if unit == "bytes" else size.macs
        plain = [name for name in settings.methods if not ENSEMBLES[name].learns]
        learning = [name for name in settings.methods if ENSEMBLES[name].learns]
        fitting = self._fitting(budget, unit)
        ranked: list[tuple[int, int, str, list[int]]] = []

        def judge(method: str, numbers: list[int]) -> None:
            own = self._size(method, numbers, unit)
            if own <= budget:
                correct = int(self._judge(method, numbers, settings.seed).sum())
                ranked.append((correct, -own, method, numbers))

        def average(numbers: list[int]) -> int:
            return int(self._judge("average", numbers, 0).sum())

        shortlist = sorted(fitting, key=average, reverse=True)[:SHORTLIST] if learning else []
        wanted = [(method, numbers) for method in plain for numbers in fitting]
        for method, numbers in [*wanted, *((m, n) for m in learning for n in shortlist)]:
            judge(method, numbers)
        if not ranked:
            return None, 0
        _, _, method, numbers = max(ranked, key=lambda one: one[:2])
        return self.combine(method, numbers, settings.seed), len(ranked)

    def _fitting(self, budget: int, unit: str) -> list[list[int]]:
        """Numbers of the members of every ensemble within a budget; pairs first."""
        sizes = [member.size(unit) for member in self.members]
        found: list[list[int]] = []
        for count in range(2, len(sizes) + 1):
            if sum(sorted(sizes)[:count]) > budget:
                break
            for numbers in combinations(range(len(sizes)), count):
                if len(found) >= MAX_TRIED:
                    return found
                if sum(sizes[n] for n in numbers) <= budget:
                    found.append(list(numbers))
        return found

    def _judge(self, method: str, numbers: Sequence[int], seed: int) -> Tensor:
        """Which validation images an ensemble recognises, each unseen by what it learnt."""
        raise_if_stopped(self._should_stop)
        labels = self._labels["validation"]
        logs = self._validation[list(numbers)]
        ensemble = ENSEMBLES[method]
        if not ensemble.learns:
            return is_right(ensemble.make(logs, labels)(logs), labels)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        right = torch.zeros(len(labels), dtype=torch.bool)
        parts = order.chunk(min(FOLDS, len(labels)))
        for held in parts:
            rest = torch.ones(len(labels), dtype=torch.bool)
            rest[held] = False
            if rest.any():
                together = self._make(method, logs[:, rest], labels[rest])
                right[held] = is_right(together(logs[:, held]), labels[held])
        return right

    def _size(self, method: str, numbers: Sequence[int], unit: str) -> int:
        """Bytes or MACs of all members and of what the method learnt."""
        ensemble, count = ENSEMBLES[method], len(numbers)
        own = sum(self.members[n].size(unit) for n in numbers)
        if unit == "bytes":
            return own + BYTES_PER_PARAM * ensemble.num_params(count, self._classes)
        return own + ensemble.macs(count, self._classes)

    def _paired(self, scores: Tensor) -> Paired:
        """An answer to the test images beside the dense model's."""
        right = is_right(scores, self._labels["test"])
        lost = int((self._dense_right & ~right).sum())
        won = int((right & ~self._dense_right).sum())
        return compare_paired(lost, won, len(right))


def _answers(
    model: Model, data: Data, cache: OutputCache, device: torch.device | str, report: Report,
    should_stop: ShouldStop,
) -> _Answers | None:  # fmt: skip
    """Log-probabilities of a model on both splits; None if stopped."""
    found = []
    for number, split in enumerate(("validation", "test")):
        outputs = cache.outputs(
            model, data, split, device=device, report=_half(report, number),  # type: ignore[arg-type]
            should_stop=should_stop,
        )  # fmt: skip
        if outputs is None or should_stop():
            return None
        found.append(outputs.double().log_softmax(1))
    return _Answers(*found)


def _share(right: Tensor) -> Proportion:
    return Proportion.of(int(right.sum()), len(right))


def _word(unit: str) -> str:
    return "bytes" if unit == "bytes" else "MACs"


def _check_count(count: int) -> None:
    if count < 2:
        raise SettingsError(
            f"An ensemble of {count} is none." if count else "No model was given.",
            "Choose at least two models.",
        )
    if count > MAX_MEMBERS:
        raise SettingsError(f"{count} models were chosen.", f"Choose at most {MAX_MEMBERS}.")


def _part(report: Report, number: int, total: int, name: str) -> Report:
    """The report of one model among all."""

    def report_part(progress: Progress) -> None:
        inside = progress.done / max(1, progress.total)
        report(Progress(round(_TOTAL * (number + inside) / total), _TOTAL, f"Asking {name}"))

    return report_part


def _half(report: Report, number: int) -> Report:
    """The report of the first or the second half of some work."""

    def report_half(progress: Progress) -> None:
        done = progress.done + number * progress.total
        report(replace(progress, done=done, total=2 * progress.total))

    return report_half
