"""8-bit weights; activations are scaled anew for every image."""

from typing import TYPE_CHECKING

from workbench.progress import Progress, Report, ShouldStop, abandonable
from workbench.replacement.kind import Product, Replacement
from workbench.replacement.settings import ReplacementSettings

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from workbench.data import Data
    from workbench.model import Model


def apply(
    model: "Model", data: "Data", settings: ReplacementSettings, *,  # noqa: ARG001
    report: Report, should_stop: ShouldStop, device: "torch.device | str",  # noqa: ARG001
) -> Product:  # fmt: skip
    """Write a model as ONNX with 8-bit weights."""
    from workbench.compression.onnx_int8 import left_in_float, prove_zeros, quantised
    from workbench.speedup import write_onnx

    report(Progress(0, 2, "Writing ONNX"))
    before = write_onnx(model, should_stop)
    report(Progress(1, 2, "Rounding the weights"))

    def quantise(source: "Path", target: "Path") -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)

    after = abandonable(lambda: quantised(before, quantise), should_stop)
    notes = left_in_float(after)
    if b"ConvInteger" in after:
        notes.append(
            "Convolutions run as ConvInteger, for which ONNX Runtime has no fast form on the "
            "processor: the measured latency shows it. Static quantisation suits them better."
        )
    return Product(
        "int8_dynamic.onnx", after, after, None, prove_zeros(before, after), tuple(notes)
    )


METHOD = Replacement(
    name="int8_dynamic",
    title="8 bits, dynamic",
    summary="Weights in 8 bits; activations get their scales anew for every image.",
    explanation=(
        "Weights become whole numbers from -127 to 127 with a scale for each output channel, once "
        "and for all, as in static quantisation; zeros stay exactly zero. The values that arrive "
        "at a layer are not looked at beforehand: whenever the network runs, each layer finds the "
        "smallest and largest of them and rounds them with a scale made for this input. So no "
        "image is needed to prepare it, and inputs unlike any seen before are not cut off. The "
        "search costs time at every layer. For matrices that pays; convolutions have no fast form "
        "of it in ONNX Runtime and often become slower than before."
    ),
    formula=r"y = s_x\, s_c \sum_i q_i\, (x^q_i - z_x), \quad "
    r"s_x = (\max x - \min x) / 255 \text{ for each input}",
    paper='Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient '
    'Integer-Arithmetic-Only Inference", section 2.1',
    strengths="Needs no data at all; a quarter of the size; good for fully connected networks.",
    limits="Convolutions become slower in ONNX Runtime; recurrent layers of kind GRU stay float32.",
    apply=apply,
)
