"""8-bit weights and activations with scales that calibration images tell."""

from typing import TYPE_CHECKING

from workbench.progress import Progress, Report, ShouldStop, abandonable, raise_if_stopped
from workbench.replacement.kind import Product, Replacement
from workbench.replacement.settings import ReplacementSettings

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from workbench.data import Data
    from workbench.model import Model

BATCH = 64


def apply(
    model: "Model", data: "Data", settings: ReplacementSettings, *,
    report: Report, should_stop: ShouldStop, device: "torch.device | str",  # noqa: ARG001
) -> Product:  # fmt: skip
    """Write a model as ONNX with 8-bit weights and activations."""
    from workbench.compression.onnx_int8 import (
        CalibrationImages,
        left_in_float,
        prove_zeros,
        quantised,
    )
    from workbench.export.formats import INPUT
    from workbench.speedup import write_onnx

    split = data.split("calibration", settings.samples, settings.seed)
    report(Progress(0, len(split), "Writing ONNX"))
    before = write_onnx(model, should_stop)

    def tell(done: int) -> None:
        raise_if_stopped(should_stop)
        report(Progress(done, len(split), "Looking at calibration images"))

    def quantise(source: "Path", target: "Path") -> None:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        quantize_static(
            source, target, CalibrationImages(split.images, INPUT, BATCH, tell),
            quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, extra_options={"WeightSymmetric": True},
        )  # fmt: skip

    after = abandonable(lambda: quantised(before, quantise), should_stop)
    notes = [f"Calibrated on {len(split):,} images without labels.", *left_in_float(after)]
    return Product("int8_static.onnx", after, after, None, prove_zeros(before, after), tuple(notes))


METHOD = Replacement(
    name="int8_static",
    title="8 bits, static",
    summary="Weights and activations in 8 bits, with scales measured on calibration images.",
    explanation=(
        "A trained weight needs no seven digits. Each becomes one of 255 whole numbers here, "
        "from -127 to 127, times a scale that its output channel has to itself. Zero stays exactly "
        "zero, so what was pruned stays pruned. The values between the layers become whole numbers "
        "as well; which scale they need is found beforehand, by sending some unlabelled "
        "calibration images through the network and noting the largest and smallest values. "
        "Everything heavy is then computed with 8-bit numbers, which processors do faster than "
        "with 32-bit ones. The file is about a quarter as large."
    ),
    formula=r"q = \mathrm{clip}\!\left(\mathrm{round}(w / s_c),\, -127,\, 127\right), \quad "
    r"s_c = \max_{i \in c} |w_i| / 127",
    paper='Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient '
    'Integer-Arithmetic-Only Inference", section 2',
    needs=("images",),
    options=("samples",),
    strengths="Smaller and usually faster, in seconds and without training; exact zeros stay.",
    limits="Recurrent layers stay in float32; values far outside what calibration saw are cut off.",
    apply=apply,
)
