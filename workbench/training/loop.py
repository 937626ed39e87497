"""The one training loop: its clock, its history and the weights that it keeps."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from workbench.augment import shift_and_flip
from workbench.data import Data
from workbench.finetune_settings import FineTuneSettings
from workbench.metrics import Score, score
from workbench.model import Model
from workbench.progress import Progress, Report, ShouldStop
from workbench.prune import Masks, Pruned, apply_masks_
from workbench.training.additions import Addition
from workbench.training.course import learning_rate
from workbench.training.method import Course
from workbench.training.objective import Noise, Objective, pixel_range
from workbench.training.optimizer import MaskedOptimizer

Keep = Literal["best", "last"]

REPORT_SECONDS = 0.1


class _Batch(NamedTuple):
    """Images as they are trained on, their classes, and the images without noise."""

    images: Tensor
    labels: Tensor
    clean: Tensor


class Training:
    """One training from start to end, with its clock, its history and the epoch that it keeps.

    Args:
        pruned: Where to start; it stays as it is.
        data: Its training split is trained on; its validation split tells which epoch is best.
        settings: How to train.
        course: What the learning rate starts from.
        teacher: Whose answers are learnt; None learns from labels alone.
        additions: What else takes part.
        keep: Whether the epoch of highest validation accuracy is kept or the last one.
        report: Hears of every tenth of a second and of every epoch.
        should_stop: Asked before and within every step.
        device: Where to train.

    Attributes:
        history: One entry per validated epoch.
        kept_epoch: The epoch that is kept.
        kept_score: Its score.
        stopped: Whether it was asked to stop.
        note: What went wrong; empty where nothing did.
    """

    def __init__(
        self, pruned: Pruned, data: Data, settings: FineTuneSettings, course: Course, *,
        teacher: Model | None, additions: Sequence[Addition], keep: Keep, report: Report,
        should_stop: ShouldStop, device: torch.device,
    ) -> None:  # fmt: skip
        self._start = time.monotonic()
        train, validation = data.split("train"), data.split("validation")
        self._module = pruned.model.copy_module().to(device)
        few = validation.images[:2].to(device)
        self._format = _fastest_format_(self._module, few)
        self._train, self._validation = train, validation
        self._settings, self._course, self._device = settings, course, device
        self._objective = Objective(settings, None)
        if teacher is not None:
            network = teacher.copy_module().to(device)
            self._objective = Objective(settings, network, _fastest_format_(network, few))
        self._noise = Noise(settings, pixel_range(data, train))
        self._report, self._should_stop = report, should_stop
        self._batch = min(settings.batch_size, len(train))
        self._steps_per_epoch = len(train) // self._batch
        self._pruned, self._keep_which = pruned, keep
        self._added = additions
        self._optimizer = self._prepared_optimizer()
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._step = 0
        self._train_seconds = self._validation_seconds = 0.0
        self._last_report = -math.inf
        self.stopped, self.note = False, ""
        self.history: list[dict[str, Any]] = []
        self.kept_epoch = 0
        self.kept_score: Score
        self._kept_state: dict[str, Tensor]
        self._kept_extra: list[Tensor]
        self._kept_masks: Masks

    def _prepared_optimizer(self) -> MaskedOptimizer:
        """The optimiser of the module's parameters and of what the additions train."""
        apply_masks_(self._module, self._pruned.masks)
        steps = 0
        if self._settings.seconds is None:
            steps = self._settings.epochs * self._steps_per_epoch
        for addition in self._added:
            addition.prepare_(self._module, steps)
        self._extra = [one for addition in self._added for one in addition.parameters()]
        groups = [group for addition in self._added for group in addition.parameter_groups()]
        masks = self._new_masks()
        masks = self._pruned.masks if masks is None else masks
        return MaskedOptimizer(self._module, masks, self._settings, groups)

    def _new_masks(self) -> Masks | None:
        """What the additions ask to be masked from now on; the last one that asks has its way."""
        asked = [masks for one in self._added if (masks := one.masks()) is not None]
        return asked[-1] if asked else None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def samples_per_second(self) -> float:
        """Training images a second so far."""
        return self._step * self._batch / self._train_seconds if self._train_seconds else 0.0

    def run(self) -> None:
        """Train until the time is over, a stop is asked for or the loss is no number."""
        self._validate(0, None)
        epoch = 0
        while self._part() < 1 and not self.stopped and not self.note:
            epoch += 1
            loss = self._train_epoch(epoch)
            if not self.note and not self.stopped:
                self._validate(epoch, loss)

    def result(self) -> Pruned:
        """The model at the epoch that is kept, free of all that the additions put on."""
        state = self._kept_state
        if self._added:
            self._module.load_state_dict(state)
            with torch.no_grad():
                for parameter, value in zip(self._extra, self._kept_extra, strict=True):
                    parameter.copy_(value)
            self._module.eval()
            for addition in reversed(self._added):
                addition.finish_(self._module)
            apply_masks_(self._module, self._kept_masks)
            state = self._state()
        module = self._pruned.model.copy_module()
        module.load_state_dict(state)
        return replace(self._pruned.with_module(module), masks=self._kept_masks)

    def _part(self) -> float:
        """How much of the training is over, from 0 to 1; time for a last validation is spared."""
        if self._settings.seconds is None:
            total = self._settings.epochs * self._steps_per_epoch
            return self._step / total if total else 1.0
        available = max(0.5, self._settings.seconds - 2 * self._validation_seconds)
        return min(1.0, (self.elapsed() - self._validation_seconds) / available)

    def _lr(self) -> float:
        return learning_rate(self._settings, self._course, self._part())

    def _train_epoch(self, epoch: int) -> float:
        """One pass over the training images; returns the mean loss."""
        self._module.train()
        total, since, steps = 0.0, 0.0, 0
        done = 0
        for batch in self._batches():
            if self._part() >= 1:
                break
            if self._should_stop():
                self.stopped = True
                break
            lr = self._lr()
            loss = self._train_step(batch, lr)
            if loss is None:
                self.stopped = True
                break
            if not math.isfinite(loss):
                self.note = (
                    f"The loss became {loss} in epoch {epoch}, step {self._step}, at learning "
                    f"rate {lr:.3g}; the weights of epoch {self.kept_epoch} are kept. "
                    "Try a lower learning rate."
                )
                break
            done, total = done + 1, total + loss
            since, steps = since + loss, steps + 1
            if time.monotonic() - self._last_report >= REPORT_SECONDS:
                self._report_step(epoch, since / steps, lr)
                since, steps = 0.0, 0
        return total / max(1, done)

    def _batches(self) -> Iterator[_Batch]:
        """Shuffled training images, the incomplete last batch left out."""
        order = torch.randperm(len(self._train), generator=self._generator)
        settings = self._settings
        for index in range(self._steps_per_epoch):
            chosen = order[index * self._batch : (index + 1) * self._batch]
            started = time.monotonic()
            images = shift_and_flip(
                self._train.images[chosen], settings.shift, settings.flip, self._generator
            )
            labels = self._train.labels[chosen]
            batch = _Batch(self._noise(images), labels, images)
            self._train_seconds += time.monotonic() - started
            yield batch

    def _train_step(self, batch: _Batch, lr: float) -> float | None:
        """One step; returns the loss, or None if stopped halfway, before any weight moved."""
        started = time.monotonic()
        images = batch.images.to(self._device, memory_format=self._format)
        outputs = self._module(images)
        loss = self._objective(outputs, batch.labels.to(self._device), batch.clean)
        loss = self._with_terms(loss)
        value = float(loss.detach())
        if self._should_stop():
            return None
        loss.backward()
        self._optimizer.step(lr)
        self._step += 1
        self._let_additions_act()
        self._train_seconds += time.monotonic() - started
        return value

    def _with_terms(self, loss: Tensor) -> Tensor:
        """The loss with what the additions add to it."""
        if self._added:
            part = self._part()
            for addition in self._added:
                term = addition.loss(self._module, part)
                loss = loss if term is None else loss + term
        return loss

    def _let_additions_act(self) -> None:
        """After a step: what the additions do to the weights and the masks."""
        if self._added:
            part = self._part()
            for addition in self._added:
                addition.after_step_(self._module, part)
            masks = self._new_masks()
            if masks is not None:
                self._optimizer.set_masks_(masks)

    def _added_values(self) -> dict[str, float]:
        return {key: value for one in self._added for key, value in one.values().items()}

    def _validate(self, epoch: int, loss: float | None) -> None:
        """Score the weights as they are and keep them if they are the best so far."""
        started = time.monotonic()
        self._module.eval()
        scored = score(
            self._module, self._validation, device=self._device, should_stop=self._should_stop
        )
        self._validation_seconds = time.monotonic() - started
        self.stopped = scored.samples < len(self._validation)
        if epoch == 0 or (not self.stopped and self._is_to_keep(scored)):
            self._keep(epoch, scored)
        if not self.stopped:
            self._end_epoch(epoch, loss, scored)

    def _is_to_keep(self, scored: Score) -> bool:
        if self._keep_which == "last":
            return math.isfinite(scored.loss)
        return _is_better(scored, self.kept_score)

    def _keep(self, epoch: int, scored: Score) -> None:
        """Remember these weights and masks."""
        self.kept_epoch, self.kept_score = epoch, scored
        self._kept_state, self._kept_masks = self._state(), self._optimizer.masks
        self._kept_extra = [parameter.detach().clone() for parameter in self._extra]

    def _state(self) -> dict[str, Tensor]:
        """The module's tensors as they are now, on the CPU."""
        return {
            key: value.detach().to("cpu", copy=True).contiguous()
            for key, value in self._module.state_dict().items()
        }

    def _end_epoch(self, epoch: int, loss: float | None, scored: Score) -> None:
        entry = {
            "epoch": epoch,
            "step": self._step,
            "seconds": round(self.elapsed(), 3),
            "lr": self._lr() if epoch else 0.0,
            "loss": loss,
            "accuracy": scored.accuracy,
            "validation_loss": scored.loss if math.isfinite(scored.loss) else None,
        } | self._added_values()
        self.history.append(entry)
        message = f"Epoch {epoch}: {scored.accuracy:.1%} on validation images"
        self._report(Progress(*self._position(), message, entry))

    def _report_step(self, epoch: int, loss: float, lr: float) -> None:
        self._last_report = time.monotonic()
        values = {
            "epoch": epoch,
            "step": self._step,
            "loss": loss,
            "lr": lr,
            "samples_per_second": round(self.samples_per_second(), 1),
        } | self._added_values()
        self._report(Progress(*self._position(), f"Training, epoch {epoch}", values))

    def _position(self) -> tuple[int, int]:
        """Steps done and in all, or seconds where the training goes by time."""
        if self._settings.seconds is None:
            return self._step, self._settings.epochs * self._steps_per_epoch
        total = math.ceil(self._settings.seconds)
        return min(total, round(self.elapsed())), total


def _is_better(scored: Score, best: Score) -> bool:
    if not math.isfinite(scored.loss):
        return False
    return (scored.accuracy, -scored.loss) > (best.accuracy, -best.loss)


@torch.no_grad()
def _fastest_format_(module: nn.Module, images: Tensor) -> torch.memory_format:
    """Lay the weights out channels last, in place, unless the network cannot work with that."""
    module.eval()
    try:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module(images.to(memory_format=torch.channels_last))
    except RuntimeError:
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return torch.contiguous_format
    return torch.channels_last
