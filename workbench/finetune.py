"""Fine-tuning: a brief training after pruning, during which pruned weights stay exactly zero."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.augment import shift_and_flip
from workbench.data import Data, Split
from workbench.errors import DataError
from workbench.finetune_settings import DEFAULT_LR, OPTIMIZERS, FineTuneSettings
from workbench.metrics import Score, score
from workbench.model import check_fit
from workbench.progress import Progress, Report, ShouldStop, ignore, never
from workbench.prune import Masks, Pruned, apply_masks_

__all__ = ["DEFAULT_LR", "OPTIMIZERS", "FineTuneSettings", "FineTuned", "finetune"]

REPORT_SECONDS = 0.1
WARM_UP = 0.05


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A fine-tuned model and how it came about.

    Attributes:
        pruned: The model at its best epoch; its masked weights are exactly zero.
        validation: Its score on the validation split, or on part of it if stopped at once.
        history: One entry per validated epoch, from epoch 0, before training:
            ``epoch, step, seconds, lr, loss`` (mean over the epoch's training images, None for
            epoch 0), ``accuracy, validation_loss`` (None where not finite).
        best_epoch: The epoch of highest validation accuracy, of lower loss among equals.
        seconds: Time from start to end, validation included.
        stopped: Whether it was asked to stop.
        samples_per_second: Training images a second, validation not counted; 0 if none.
        note: What went wrong, such as a loss that is no number; empty where nothing did.
    """

    pruned: Pruned
    validation: Score
    history: tuple[Mapping[str, Any], ...]
    best_epoch: int
    seconds: float
    stopped: bool
    samples_per_second: float
    note: str = ""


def finetune(
    pruned: Pruned, data: Data, settings: FineTuneSettings | None = None, *,
    report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> FineTuned:  # fmt: skip
    """Train a pruned model on the training split, masks held, and keep its best epoch.

    The best epoch is chosen on the validation split, and epoch 0, before any training, takes
    part: fine-tuning never ends with a lower validation accuracy than it began with. On the CPU
    the same seed gives the same weights, unless the training goes by seconds.

    Args:
        pruned: Where to start; it stays as it is.
        data: Images that fit the model.
        settings: How to train; None takes the defaults.
        report: Hears of every tenth of a second (``values``: ``epoch, step, loss, lr,
            samples_per_second``) and of every epoch (its entry in the history).
        should_stop: Asked before and within every step; True ends with the best epoch so far.
        device: Where to train. The result is on the CPU.

    Raises:
        DataError: If the data do not fit the model or have too few images.
    """
    settings = settings or FineTuneSettings()
    check_fit(pruned.model, data)
    device = torch.device(device)
    train, validation = data.split("train"), data.split("validation")
    if len(train) < 2:
        raise DataError(f"{data.name} has {len(train)} training images.", "Give at least 2.")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        training = _Training(pruned, train, validation, settings, report, should_stop, device)
        training.run()
    module = pruned.model.copy_module()
    module.load_state_dict(training.best_state)
    kept = pruned.with_module(module)
    return FineTuned(
        kept, training.best_score, tuple(training.history), training.best_epoch,
        training.elapsed(), training.stopped, training.samples_per_second(), training.note,
    )  # fmt: skip


class MaskedOptimizer:
    """An optimiser that leaves masked weights, and all it remembers of them, at exactly zero.

    Masked weights start at zero and their gradients are set to zero before every step. Then
    nothing can move them: weight decay adds a multiple of a zero weight, momentum and Adam's two
    averages stay sums of zeros, and zero over ``sqrt(0) + eps`` is zero.

    Args:
        module: What to train; its masked weights are set to zero.
        masks: Parameter name to mask, True = kept.
        settings: Which optimiser and how.
    """

    def __init__(self, module: nn.Module, masks: Masks, settings: FineTuneSettings) -> None:
        apply_masks_(module, masks)
        masked = [(module.get_parameter(k), m) for k, m in masks.items() if not bool(m.all())]
        self._masked = [weight for weight, _ in masked]
        self._masks = [torch.empty_like(weight).copy_(mask) for weight, mask in masked]
        self.optimizer = _build_optimizer(module, settings)

    def step(self, lr: float) -> None:
        """Take one step along the gradients, then forget them."""
        pairs = [
            (weight.grad, mask)
            for weight, mask in zip(self._masked, self._masks, strict=True)
            if weight.grad is not None
        ]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [mask for _, mask in pairs])
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _build_optimizer(module: nn.Module, settings: FineTuneSettings) -> torch.optim.Optimizer:
    parameters = [p.requires_grad_() for p in module.parameters() if p.is_floating_point()]
    lr, decay = settings.highest_lr, settings.weight_decay
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr, settings.momentum, weight_decay=decay,
            nesterov=settings.momentum > 0, fused=fused,
        )  # fmt: skip
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return kind(parameters, lr, weight_decay=decay, fused=fused)


class _Training:
    """One training from start to end, with its clock, its history and its best epoch."""

    def __init__(
        self, pruned: Pruned, train: Split, validation: Split, settings: FineTuneSettings,
        report: Report, should_stop: ShouldStop, device: torch.device,
    ) -> None:  # fmt: skip
        self._start = time.monotonic()
        self._module = pruned.model.copy_module().to(device)
        self._format = _fastest_format_(self._module, validation.images[:2].to(device))
        self._optimizer = MaskedOptimizer(self._module, pruned.masks, settings)
        self._train, self._validation = train, validation
        self._settings, self._device = settings, device
        self._report, self._should_stop = report, should_stop
        self._batch = min(settings.batch_size, len(train))
        self._steps_per_epoch = len(train) // self._batch
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._step = 0
        self._train_seconds = self._validation_seconds = 0.0
        self._last_report = -math.inf
        self.stopped, self.note = False, ""
        self.history: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.best_score: Score
        self.best_state: dict[str, Tensor]

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

    def _part(self) -> float:
        """How much of the training is over, from 0 to 1; time for a last validation is spared."""
        if self._settings.seconds is None:
            total = self._settings.epochs * self._steps_per_epoch
            return self._step / total if total else 1.0
        available = max(0.5, self._settings.seconds - 2 * self._validation_seconds)
        return min(1.0, (self.elapsed() - self._validation_seconds) / available)

    def _lr(self) -> float:
        """Warm-up, then a cosine down to zero."""
        part = self._part()
        warm = min(1.0, (part + 1e-3) / WARM_UP)
        return self._settings.highest_lr * warm * 0.5 * (1 + math.cos(math.pi * part))

    def _train_epoch(self, epoch: int) -> float:
        """One pass over the training images; returns the mean loss."""
        self._module.train()
        total, since, steps = 0.0, 0.0, 0
        done = 0
        for images, labels in self._batches():
            if self._part() >= 1:
                break
            if self._should_stop():
                self.stopped = True
                break
            lr = self._lr()
            loss = self._train_step(images, labels, lr)
            if loss is None:
                self.stopped = True
                break
            if not math.isfinite(loss):
                self.note = (
                    f"The loss became {loss} in epoch {epoch}, step {self._step}, at learning "
                    f"rate {lr:.3g}; the weights of epoch {self.best_epoch} are kept. "
                    "Try a lower learning rate."
                )
                break
            done, total = done + 1, total + loss
            since, steps = since + loss, steps + 1
            if time.monotonic() - self._last_report >= REPORT_SECONDS:
                self._report_step(epoch, since / steps, lr)
                since, steps = 0.0, 0
        return total / max(1, done)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
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
            self._train_seconds += time.monotonic() - started
            yield images, labels

    def _train_step(self, images: Tensor, labels: Tensor, lr: float) -> float | None:
        """One step; returns the loss, or None if stopped halfway, before any weight moved."""
        started = time.monotonic()
        images = images.to(self._device, memory_format=self._format)
        loss = F.cross_entropy(self._module(images), labels.to(self._device))
        value = float(loss.detach())
        if self._should_stop():
            return None
        loss.backward()
        self._optimizer.step(lr)
        self._step += 1
        self._train_seconds += time.monotonic() - started
        return value

    def _validate(self, epoch: int, loss: float | None) -> None:
        """Score the weights as they are and keep them if they are the best so far."""
        started = time.monotonic()
        self._module.eval()
        scored = score(
            self._module, self._validation, device=self._device, should_stop=self._should_stop
        )
        self._validation_seconds = time.monotonic() - started
        self.stopped = scored.samples < len(self._validation)
        if epoch == 0 or (not self.stopped and _is_better(scored, self.best_score)):
            self._keep(epoch, scored)
        if not self.stopped:
            self._end_epoch(epoch, loss, scored)

    def _keep(self, epoch: int, scored: Score) -> None:
        """Remember these weights as the best so far."""
        self.best_epoch, self.best_score = epoch, scored
        self.best_state = {
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
        }
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
        }
        self._report(Progress(*self._position(), f"Fine-tuning, epoch {epoch}", values))

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
