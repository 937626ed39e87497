"""Settings, the registry, and what the quantiser's output is read for."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.compression.onnx_int8 import left_in_float, prove_zeros
from workbench.method import NEEDS
from workbench.replacement import METHODS, REPLACEMENTS, ReplacementSettings, parse_replacement
from workbench.replacement.kind import TensorProof


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("int8_static", "int8_static"),
        ("cluster", "cluster:5"),
        ("cluster:3", "cluster:3"),
        ("cluster:4:huffman", "cluster:4:huffman"),
        (" nm:1:4 ", "nm:1:4"),
        ("channel_multiple:16", "channel_multiple:16"),
    ],
)
def test_what_people_write_becomes_settings_and_back(text, key):
    settings = parse_replacement(text, tune_epochs=2, seed=3)
    assert settings.key == key
    assert (settings.tune_epochs, settings.seed) == (2, 3)
    assert parse_replacement(key).key == key
    assert ReplacementSettings.from_dict(settings.to_dict()) == settings


def test_the_text_wins_over_what_is_given_beside_it():
    assert parse_replacement("cluster:3", bits=7, coding="huffman").key == "cluster:3:huffman"
    assert parse_replacement("cluster", bits=7).key == "cluster:7"


def test_every_method_is_told_of_and_can_be_asked_for():
    assert list(REPLACEMENTS) == list(METHODS)
    for name, method in REPLACEMENTS.items():
        assert method.summary == METHODS[name]
        assert set(method.needs) <= set(NEEDS)
        assert 60 <= len(method.explanation.split()) <= 120
        assert method.formula
        assert method.paper
        assert ReplacementSettings(name).method == name


def onnx_file(*arrays: tuple[str, np.ndarray], ops: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A graph that holds arrays; ``ops`` are kinds of nodes and the array each reads."""
    nodes = [helper.make_node(kind, ["x", name], [f"y{i}"]) for i, (kind, name) in enumerate(ops)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        nodes, "made", [x], [], [numpy_helper.from_array(array, name) for name, array in arrays]
    )
    content: bytes = onnx.helper.make_model(graph).SerializeToString()
    return content


WEIGHT = np.array([[0.0, 0.5, -0.001], [0.0, 0.0, 1.0]], np.float32)


def proof_of(numbers: list[list[int]], points: list[int]) -> TensorProof:
    after = onnx_file(
        ("w_quantized", np.array(numbers, np.int8)), ("w_zero_point", np.array(points, np.int8))
    )
    (proof,) = prove_zeros(onnx_file(("w", WEIGHT)), after)
    return proof


def test_zeros_are_counted_by_hand():
    proof = proof_of([[0, 64, 0], [0, 0, 127]], [0, 0])
    assert proof == TensorProof("w", 6, 3, 3, 4, "int8", 0)
    assert proof.survived, "a small weight became zero as well, none came back"


def test_a_zero_that_came_back_is_found():
    proof = proof_of([[0, 64, 0], [1, 0, 127]], [0, 0])
    assert (proof.zeros_before, proof.zeros_kept) == (3, 2)
    assert not proof.survived


def test_a_zero_point_beside_zero_brings_pruned_weights_back():
    proof = proof_of([[0, 64, 0], [0, 0, 127]], [0, -3])
    assert proof.zero_point == -3
    assert not proof.survived


def test_a_constant_in_uint8_has_its_zeros_where_its_zero_point_is():
    after = onnx_file(
        ("w_quantized", np.array([[128, 200, 128], [128, 127, 255]], np.uint8)),
        ("w_zero_point", np.array(128, np.uint8)),
    )
    (proof,) = prove_zeros(onnx_file(("w", WEIGHT)), after)
    assert (proof.zeros_before, proof.zeros_kept, proof.zero_point) == (3, 2, 128)
    assert not proof.survived


def test_a_matrix_that_was_turned_round_is_compared_turned_round():
    proof = proof_of(np.array([[0, 64, 0], [0, 0, 127]]).T.tolist(), [0])
    assert proof.zeros_kept == 3
    wrong = proof_of([[0, 0], [0, 64], [127, 0]], [0])
    assert wrong.zeros_kept == 2


def test_a_weight_that_is_gone_has_no_proof():
    (proof,) = prove_zeros(onnx_file(("w", WEIGHT)), onnx_file(("v", WEIGHT)))
    assert proof.kind == "missing"
    assert not proof.survived


def test_layers_left_in_float_are_named():
    content = onnx_file(
        ("a", WEIGHT), ("b", WEIGHT), ("c", np.ones(3, np.float32)),
        ops=(("GRU", "a"), ("GRU", "b"), ("Conv", "a"), ("Gemm", "c"), ("Add", "a")),
    )  # fmt: skip
    assert left_in_float(content) == [
        "1 Conv layer stays in float32: ONNX Runtime's quantiser has no 8-bit form of this kind "
        "here.",
        "2 GRU layers stay in float32: ONNX Runtime's quantiser has no 8-bit form of this kind "
        "here.",
    ]
