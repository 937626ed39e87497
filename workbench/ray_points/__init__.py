"""Sensitivity points measured by the workers of a Ray cluster.

What is asked is split into tasks by group. A task carries digests and settings, never a model:
weights (as a .safetensors file) and data (as arrays) lie once in the cluster's shared memory, and
every worker takes them from there once and keeps the network that it built from them. A worker
that is lost loses only what it had not told yet; that is measured again elsewhere.

Ray is an extra: ``pip install 'pruning-workbench[ray]'``. It is imported when it is first asked
for something.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from workbench import __version__
from workbench.curves import SensitivityPoint, SensitivitySettings
from workbench.data import Data
from workbench.errors import JobError, SettingsError, WorkbenchError
from workbench.groups import Groups
from workbench.model import Model
from workbench.progress import ShouldStop, never
from workbench.ray_points.cluster import (
    AUTO,
    LOCAL,
    check_address,
    check_reachable,
    connected,
    named,
)
from workbench.ray_points.there import measure
from workbench.sensitivity import PointSource

__all__ = ["AUTO", "LOCAL", "has_ray", "ray_points", "share_places"]

Place = tuple[str, float]
"""Group and level of a point."""
TASKS_PER_CPU = 4
"""So many that the last ones end at about the same time, so few that starting them is nothing."""
MOST_LOSSES = 3
"""A task whose worker is lost so often in a row, without a point between, is given up."""
POLL_SECONDS = 0.1
_INSTALL = "Install it: pip install 'pruning-workbench[ray]'."
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def has_ray() -> bool:
    """Whether the package is installed; it is not imported."""
    return find_spec("ray") is not None


def ray_points(address: str, *, factory: str = "") -> PointSource:
    """A source for ``measure_sensitivity`` that measures on a Ray cluster, on its processors.

    Values are those that ``measure_points`` gives here with one thread. Where this process is
    connected to Ray already, that connection is used and left open, whatever the address.

    Args:
        address: ``local`` starts Ray on this machine for as long as the work takes; ``auto``
            finds the one that runs here; ``HOST:PORT`` is a cluster that this machine belongs to,
            ``ray://HOST:PORT`` one that it does not.
        factory: ``package.module:function`` that built the network, for one of no known
            architecture; every worker imports it and puts the weights in.

    Raises:
        SettingsError: If Ray is not installed or the address is none. While measuring also if
            the network cannot be built elsewhere.
        JobError: While measuring: if the cluster cannot be reached, or workers cannot do it.
    """
    check_address(address)
    if not has_ray():
        raise SettingsError("Ray is not installed.", _INSTALL)
    if address.startswith("ray://") and not find_spec("grpc"):
        raise SettingsError(
            f"{address} needs Ray's client, which is not installed.",
            "Install it: pip install 'ray[client]'.",
        )
    return _RayPoints(address, factory)


@dataclass(eq=False)
class _Share:
    """What one task has to measure.

    Attributes:
        places: In the order in which they were asked.
        told: The points so far, by place.
        losses: How often in a row its worker was lost without telling anything.
    """

    places: list[Place]
    told: dict[Place, dict[str, Any]] = field(default_factory=dict)
    losses: int = 0


class _RayPoints:
    """See ``ray_points``."""

    def __init__(self, address: str, factory: str) -> None:
        self._address, self._factory = address, factory

    def __call__(
        self, model: Model, data: Data, settings: SensitivitySettings, places: Sequence[Place], *,
        groups: Groups | None = None, should_stop: ShouldStop = never,  # noqa: ARG002  found there
    ) -> Iterator[SensitivityPoint]:  # fmt: skip
        """Yield points as they come; should it stop, tasks are cancelled and their rest is lost."""
        recipe = _recipe(model, self._factory)
        weights, arrays = _packed(model), {name: getattr(data, name) for name in _ARRAYS}
        size = len(weights) + sum(array.nbytes for array in arrays.values())
        check_reachable(self._address)
        with connected(self._address, size) as ray:
            order = {
                "version": __version__, "model": recipe, "data": _description(data),
                "settings": settings.to_dict(),
            }  # fmt: skip
            shelf = {model.digest: ray.put(weights), data.digest: ray.put(arrays)}
            remote = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(measure)

            def submit(share: _Share) -> Any:
                left = [place for place in share.places if place not in share.told]
                known = [values for values in share.told.values() if values["samples"]]
                return remote.remote(json.dumps(order | {"places": left, "known": known}), shelf)

            fast = settings.precision == "fast"  # begins with the dense model on all images
            cpus = int(ray.cluster_resources().get("CPU", 1)) or 1
            tasks = cpus * (1 if fast else TASKS_PER_CPU)
            shares = [_Share(own) for own in share_places(places, tasks, whole=fast)]
            yield from _gathered(ray, shares, submit, self._address, should_stop)


def share_places(places: Sequence[Place], most: int, whole: bool = False) -> list[list[Place]]:
    """Split places into tasks of about the same size that keep groups together.

    Args:
        places: Group and level of each point.
        most: At most so many tasks.
        whole: Never split a group; otherwise those are split that are larger than a task.

    Returns:
        The tasks, each with its places in the given order, the task with the first place first.
    """
    groups: dict[str, list[Place]] = {}
    for place in dict.fromkeys(places):
        groups.setdefault(place[0], []).append(place)
    size = -(-len(places) // max(1, most))
    parts: list[list[Place]] = []
    for own in groups.values():
        step = len(own) if whole else -(-len(own) // -(-len(own) // size))
        parts += [own[i : i + step] for i in range(0, len(own), step)]
    tasks: list[list[Place]] = [[] for _ in range(min(most, len(parts)))]
    for part in sorted(parts, key=len, reverse=True):
        min(tasks, key=len).extend(part)
    rank = {place: number for number, place in enumerate(dict.fromkeys(places))}
    return sorted((sorted(task, key=rank.__getitem__) for task in tasks), key=lambda t: rank[t[0]])


def _gathered(
    ray: Any, shares: list[_Share], submit: Callable[[_Share], Any], address: str,
    should_stop: ShouldStop,
) -> Iterator[SensitivityPoint]:  # fmt: skip
    """Points of all shares as they come; those of a lost worker are asked for again."""
    lost = (
        ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError, ray.exceptions.ObjectLostError,
        ray.exceptions.LocalRayletDiedError,
    )  # fmt: skip
    live = {submit(share): share for share in shares}
    try:
        while live and not should_stop():
            ready, _ = ray.wait([*live], num_returns=1, timeout=POLL_SECONDS)
            for stream in ready:
                share = live.pop(stream)
                try:
                    point = SensitivityPoint.from_dict(ray.get(next(stream)))
                except StopIteration:
                    continue
                except lost as error:
                    live[submit(_after_loss(share, address, error))] = share
                    continue
                except ray.exceptions.RayTaskError as error:
                    raise _explained(error.cause, address) from error
                live[stream] = share  # last in line: every stream gets its turn
                share.losses = 0
                if (place := (point.group, point.level)) not in share.told:
                    share.told[place] = point.to_dict()
                    yield point
    except ray.exceptions.RayError as error:
        raise JobError(
            f"{named(address)} failed: {type(error).__name__}.",
            "Points that came are kept where there is a cache: measure again to go on.",
        ) from error
    finally:
        for stream in live:
            with suppress(Exception):  # the connection itself may be gone
                ray.cancel(stream, force=True)


def _after_loss(share: _Share, address: str, error: Exception) -> _Share:
    """Count a lost worker.

    Raises:
        JobError: If it was one too many.
    """
    share.losses += 1
    if share.losses == MOST_LOSSES:
        group = next((name for name, _ in share.places if name), "the dense model")
        raise JobError(
            f"{named(address)} lost {MOST_LOSSES} workers in a row while measuring {group} "
            f"({type(error).__name__}).",
            "They may lack memory: choose fewer images, or give the workers more.",
        ) from error
    return share


def _explained(cause: BaseException, address: str) -> WorkbenchError:
    """What a task's failure means."""
    if isinstance(cause, WorkbenchError):
        return cause
    text = str(cause).strip().split("\n")[0]
    if isinstance(cause, ModuleNotFoundError) or "failed to import" in text:
        return JobError(
            f"The workers of {named(address)} cannot import the workbench.",
            f"Install pruning-workbench {__version__} on every machine of the cluster.",
        )
    return JobError(
        f"A worker of {named(address)} failed: {type(cause).__name__}{': ' if text else ''}{text}.",
        "Measure on this machine, or look into Ray's log there.",
    )


def _recipe(model: Model, factory: str) -> dict[str, object]:
    """How to build the network without its weights; plain JSON.

    Raises:
        SettingsError: If nobody else could.
    """
    if not model.architecture and not factory:
        raise SettingsError(
            f"{model.name} is of no architecture that the workers of Ray could build.",
            "Name the function that builds it, package.module:function, or measure on this "
            "machine.",
        )
    return {
        "name": model.name, "architecture": model.architecture,
        "arguments": dict(model.arguments), "input_shape": list(model.input_shape),
        "num_classes": model.num_classes, "factory": "" if model.architecture else factory,
        "digest": model.digest,
    }  # fmt: skip


def _packed(model: Model) -> bytes:
    """The weights as the content of a .safetensors file; shared ones are in it twice."""
    tensors: dict[str, Tensor] = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.module.state_dict().items()
    }
    return bytes(safetensors.torch.save(tensors))


def _description(data: Data) -> dict[str, object]:
    """All of the data but the arrays; plain JSON."""
    return {
        "digest": data.digest, "name": data.name, "mean": list(data.mean), "std": list(data.std),
        "class_names": list(data.class_names), "num_validation": data.num_validation,
        "strides": {name: getattr(data, name).strides for name in _ARRAYS},
    }  # fmt: skip
