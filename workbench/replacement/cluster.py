"""Deep compression: few values for all weights of a layer, entropy coded."""

from typing import TYPE_CHECKING

from workbench.progress import Progress, Report, ShouldStop, raise_if_stopped
from workbench.replacement.kind import Product, Replacement, TensorProof
from workbench.replacement.settings import ReplacementSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from workbench.compression.clustering import Clustered
    from workbench.data import Data
    from workbench.model import Model

TUNING_LR = 0.0005


def apply(
    model: "Model", data: "Data", settings: ReplacementSettings, *,
    report: Report, should_stop: ShouldStop, device: "torch.device | str",
) -> Product:  # fmt: skip
    """Cluster the weights of a model, tune the values, and write one coded file."""
    from workbench.compression.clustering import cluster_tensors
    from workbench.compression.compressed import SUFFIX, compress, decompress
    from workbench.compression.restoring import restore

    report(Progress(0, 0, "Clustering the weights"))
    state = model.module.state_dict()
    clustered = cluster_tensors(state, settings.bits, should_stop)
    notes = []
    if settings.tune_epochs:
        clustered, note = tune(
            model, clustered, data, settings, report=report, should_stop=should_stop, device=device
        )
        notes.append(note)
    raise_if_stopped(should_stop)
    report(Progress(0, 0, "Coding"))
    content = compress(model, clustered, settings.coding, should_stop)
    report(Progress(0, 0, "Restoring the file"))
    found = decompress(content, should_stop=should_stop)
    restored = restore(found, dense=None if model.architecture else model)
    notes.append(
        "The file restores to a network with ordinary float32 weights: it runs as fast as before."
    )
    return Product(
        f"{settings.key.replace(':', '-')}{SUFFIX}", content, _onnx(restored, should_stop),
        restored, prove(state, found.clustered), tuple(notes),
    )  # fmt: skip


def tune(
    model: "Model", clustered: "Clustered", data: "Data", settings: ReplacementSettings, *,
    report: Report, should_stop: ShouldStop, device: "torch.device | str",
) -> "tuple[Clustered, str]":  # fmt: skip
    """Train the values of a clustered model; the best epoch on validation images is kept.

    Returns:
        The same codes with other values, and a sentence on what that did.
    """
    from workbench.compression.clustering import with_values
    from workbench.compression.tuning import CentroidTuning
    from workbench.finetune import finetune
    from workbench.finetune_settings import FineTuneSettings
    from workbench.plan import PruningPlan
    from workbench.prune import Pruned

    module = model.copy_module()
    module.load_state_dict(clustered.tensors())
    start = Pruned(model.with_module(module), {}, PruningPlan(), model)
    tuned = finetune(
        start, data,
        FineTuneSettings(
            optimizer="adam", lr=TUNING_LR, epochs=settings.tune_epochs, weight_decay=0.0,
            seed=settings.seed,
        ),
        additions=[CentroidTuning(clustered)], report=report, should_stop=should_stop,
        device=device,
    )  # fmt: skip
    first = tuned.history[0]["accuracy"] if tuned.history else None
    note = f"Values tuned for {settings.tune_epochs} epochs"
    if settings.tune_epochs == 1:
        note = "Values tuned for 1 epoch"
    if first is not None:
        note += (
            f": {100 * first:.2f} % before, {100 * tuned.validation.accuracy:.2f} % after, on "
            "validation images"
        )
    return with_values(clustered, tuned.pruned.model.module.state_dict()), f"{note}."


def prove(before: "Mapping[str, Tensor]", clustered: "Clustered") -> tuple[TensorProof, ...]:
    """Compare each clustered weight, as it is read back, with what it was."""
    proofs = []
    for name, entry in clustered.clustered.items():
        zeros = before[name].detach().cpu().numpy() == 0
        after = entry.tensor().numpy() == 0
        proofs.append(
            TensorProof(
                name, zeros.size, int(zeros.sum()), int((zeros & after).sum()), int(after.sum()),
                "codes",
            )
        )  # fmt: skip
    return tuple(proofs)


def _onnx(model: "Model", should_stop: ShouldStop) -> bytes:
    from workbench.errors import ExportError
    from workbench.speedup import write_onnx

    try:
        return write_onnx(model, should_stop)
    except ExportError:
        return b""


METHOD = Replacement(
    name="cluster",
    title="k-means clustering, coded",
    summary="Few values for all weights of a layer, entropy coded into one small file.",
    explanation=(
        "All weights of a layer that pruning left are gathered into a few clusters, and each is "
        "replaced by the mean of its cluster: with 5 bits a layer has 31 different values and "
        "zero. The file holds the values once and a short code for each weight. The codes are "
        "written by an entropy coder, which spends little on what is frequent: pruned weights "
        "cost a fraction of a bit. A short training moves the values, all weights of a cluster "
        "together, and brings back what rounding lost. The file is restored to an ordinary "
        "network, bit for bit. Pruning, clustering and coding together are known as deep "
        "compression."
    ),
    formula=r"\min_{c, a} \sum_{i : w_i \neq 0} (w_i - c_{a_i})^2, \quad "
    r"\frac{\partial L}{\partial c_k} = \sum_{i : a_i = k} \frac{\partial L}{\partial w_i}",
    paper='Han et al. 2016, "Deep Compression: Compressing Deep Neural Networks with Pruning, '
    'Trained Quantization and Huffman Coding", section 3',
    needs=("labels", "training"),
    options=("bits", "coding", "tune_epochs"),
    strengths="By far the smallest file; pruned weights and clusters add up; any network.",
    limits="No faster: it is restored before it runs. Coding takes seconds per million weights.",
    apply=apply,
)
