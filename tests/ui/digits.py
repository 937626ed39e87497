"""Workspaces with the smallest sample model, and real runs in them."""

from collections.abc import Mapping
from dataclasses import replace

from tests.ui.test_job_panel import Registry
from workbench.allocation import allocate
from workbench.data import Data
from workbench.finetune_settings import FineTuneSettings
from workbench.loading import load_data, load_model
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS
from workbench.ui import bench

MODEL, DATA = "digits-mlp", "digits"
LAYERS = ("hidden.0", "hidden.1", "classifier")
MODEL_REF, DATA_REF = ModelRef(name=MODEL, sample=MODEL), DataRef(name=DATA, sample=DATA)
OTHER_REF = ModelRef(name="fashion-lenet5", sample="fashion-lenet5")


class Desk(Registry):
    """A registry of one job that never runs by itself and remembers what it was asked."""

    def submit(self, owner, kind, title, request):
        super().submit(owner, kind, title, request)
        self.job = replace(self.job, request=request)
        return self.job


def model() -> Model:
    return load_model(MODEL)


def data() -> Data:
    return load_data(DATA)


def workspace(
    plan: Mapping[str, float] | PruningPlan | None = None, store: Store | None = None
) -> str:
    """A workspace with the model and its data on the bench, and perhaps a plan.

    Made in this process's store unless another is given.
    """
    store = store or bench.store()
    workspace_id = store.create_workspace()
    store.save_model_ref(workspace_id, MODEL_REF)
    store.save_data_ref(workspace_id, DATA_REF)
    if plan is not None:
        own = plan if isinstance(plan, PruningPlan) else PruningPlan(plan, model=model().digest)
        store.save_plan(workspace_id, own)
    return workspace_id


def arguments(**more: object) -> dict[str, object]:
    """What a page asks of a background task, with the model and the data on the bench."""
    both = {"model": MODEL_REF.to_dict(), "data": DATA_REF.to_dict()}
    return both | {"device": "cpu"} | more


def uniform(sparsity: float, criterion: str = "l1", seed: int = 0) -> PruningPlan:
    return allocate(model(), "uniform", sparsity=sparsity, criterion=criterion, seed=seed)


def add_run(
    workspace_id: str,
    plan: PruningPlan | None = None,
    epochs: int = 0,
    store: Store | None = None,
    **more,
) -> int:
    """Prune, perhaps train, measure and keep; returns the run's number."""
    training = FineTuneSettings(epochs=epochs).to_dict() if epochs else None
    asked = arguments(
        plan=(plan or uniform(0.8)).to_dict(), repair="none", finetune=training, **more
    )
    return do("experiment", workspace_id, asked, store)["run"]


def do(
    kind: str, workspace_id: str, asked: Mapping[str, object], store: Store | None = None
) -> Mapping:
    """Do here and now what a worker would do."""
    store = store or bench.store()
    return TASKS[kind](store, workspace_id, asked, lambda progress: None, lambda: False)


def button(app, label: str):
    return next(button for button in app.button if button.label == label)


def labels(app) -> list[str]:
    return [button.label for button in app.button]


def captions(app) -> str:
    return "\n".join(caption.value for caption in app.caption)


def texts(app) -> str:
    return "\n".join(text.value for text in app.markdown)
