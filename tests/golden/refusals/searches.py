"""Searches for plans that lack what they need."""

from tests.golden.refusals.table import Makers
from workbench.plan import PruningPlan
from workbench.plan_tasks import latency_fit, refine
from workbench.progress import ignore, never
from workbench.store import Store

MAKERS = Makers()
_SAMPLE = {"name": "digits-mlp", "sample": "digits-mlp"}


def _asked(**more: object) -> dict[str, object]:
    """What a page asks for, with nothing measured."""
    return {
        "model": _SAMPLE, "data": {"name": "digits", "sample": "digits"}, "device": "cpu",
        "plan": PruningPlan({"hidden.0": 0.5}, "channel").to_dict(), "method": "uniform",
        "unit": "macs", "curves": "", "protected": [], "locked": [], "bounds": {},
        "repair": "none", "num_samples": 50, **more,
    }  # fmt: skip


@MAKERS
def refine_without_curves(folder):
    """A plan to refine of whose groups nothing was measured."""
    store = Store(folder / "home")
    workspace = store.create_workspace()
    refine(store, workspace, _asked(evaluations=4), ignore, never)


@MAKERS
def latency_without_times(folder):
    """A latency to meet where the model was never timed."""
    store = Store(folder / "home")
    workspace = store.create_workspace()
    latency_fit(store, workspace, _asked(kept=0.5, unit="latency"), ignore, never)
