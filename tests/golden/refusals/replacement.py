"""Replacements that cannot be made, and compressed files that are not whole."""

import zlib

import torch

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from tests.golden.refusals.values import few_images
from workbench.compression import cluster_tensors, compress, decompress, load_compressed
from workbench.compression.kmeans import cluster_values
from workbench.loading import load_data, load_model
from workbench.model import Model
from workbench.replacement import ReplacementSettings, get_replacement, parse_replacement
from workbench.replacing import replace_weights

MAKERS = Makers()


def digits_file(folder):
    """A compressed file of the smallest sample."""
    model = load_model("digits-mlp")
    path = folder / "digits.pwc"
    path.write_bytes(compress(model, cluster_tensors(model.module.state_dict(), 2)))
    return path


def single():
    """A factory's network: one convolution with a single input."""
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 10, 8), torch.nn.Flatten())
    return Model("single", module.eval(), (1, 8, 8), 10)


@MAKERS
def replacement_unknown(folder):
    """A method with a letter missing."""
    parse_replacement("clustr:5")


@MAKERS
def replacement_unknown_method(folder):
    """A method that is not registered."""
    get_replacement("int4")


@MAKERS
def replacement_bits_nine(folder):
    """Nine bits."""
    parse_replacement("cluster:9")


@MAKERS
def replacement_one_bit(folder):
    """One bit."""
    ReplacementSettings(bits=1)


@MAKERS
def replacement_bits_half(folder):
    """Half a bit more."""
    ReplacementSettings(bits=4.5)


@MAKERS
def replacement_bits_words(folder):
    """Bits in words."""
    parse_replacement("cluster:five")


@MAKERS
def replacement_number_for_int8(folder):
    """A number behind a method that takes none."""
    parse_replacement("int8_static:4")


@MAKERS
def replacement_unknown_coding(folder):
    """A coding nobody knows."""
    parse_replacement("cluster:4:zip")


@MAKERS
def replacement_pattern_two_of_two(folder):
    """A pattern that keeps all."""
    parse_replacement("nm:2:2")


@MAKERS
def replacement_multiple_one(folder):
    """Multiples of one."""
    ReplacementSettings("channel_multiple", multiple=1)


@MAKERS
def replacement_no_samples(folder):
    """No calibration image."""
    ReplacementSettings(samples=0)


@MAKERS
def replacement_tuning_forever(folder):
    """More epochs than there may be."""
    ReplacementSettings(tune_epochs=101)


@MAKERS
def replacement_negative_seed(folder):
    """A seed below zero."""
    ReplacementSettings(seed=-1)


@MAKERS
def replacement_settings_list(folder):
    """Settings as a list."""
    ReplacementSettings.from_dict(["cluster"])


@MAKERS
def replacement_unknown_setting(folder):
    """A setting with a letter missing."""
    ReplacementSettings.from_dict({"bit": 4})


@MAKERS
def replacement_no_centroids(folder):
    """No value for all weights."""
    cluster_values([1.0], 0)


@MAKERS
def replacement_widths_fit_already(folder):
    """Every width is a multiple already."""
    settings = ReplacementSettings("channel_multiple", multiple=64)
    replace_weights(load_model("digits-mlp"), load_data("digits"), settings, folder)


@MAKERS
def replacement_pattern_fits_nowhere(folder):
    """No layer has enough inputs."""
    replace_weights(single(), load_data("digits"), ReplacementSettings("nm"), folder)


@MAKERS
def replacement_data_do_not_fit(folder):
    """Images of another shape."""
    replace_weights(load_model("digits-mlp"), few_images(), ReplacementSettings(), folder)


@MAKERS
def cluster_nan(folder):
    """A weight that is no number."""
    cluster_tensors({"fc.weight": torch.tensor([[float("nan"), 1.0]])}, 4)


@MAKERS
def cluster_float64(folder):
    """Weights in 64 bits."""
    cluster_tensors({"fc.weight": torch.zeros(2, 2, dtype=torch.float64)}, 4)


@MAKERS
def cluster_int32(folder):
    """A counter in 32 bits."""
    cluster_tensors({"count": torch.zeros(1, dtype=torch.int32)}, 4)


@MAKERS
def compressed_missing(folder):
    """No such file."""
    load_compressed(folder / "nowhere.pwc")


@MAKERS
def compressed_other_kind(folder):
    """A text file."""
    path = folder / "notes.pwc"
    path.write_text("These are notes.")
    load_compressed(path)


@MAKERS
def compressed_cut_short(folder):
    """Half a file."""
    path = digits_file(folder)
    path.write_bytes(path.read_bytes()[:1_000])
    load_compressed(path)


@MAKERS
def compressed_one_bit_wrong(folder):
    """One bit turned round on the way."""
    path = digits_file(folder)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(bytes(content))
    load_compressed(path)


@MAKERS
def compressed_only_magic(folder):
    """Nothing behind the first bytes."""
    decompress(b"PWC1\0\0", "x.pwc")


@MAKERS
def compressed_header_beyond_end(folder):
    """A header longer than the file."""
    body = b"PWC1\xff\xff\xff"
    decompress(body + zlib.crc32(body).to_bytes(4, "big"), "x.pwc")


@MAKERS
def compressed_header_noise(folder):
    """A header of noise."""
    body = b"PWC1\0\0\4noise"
    decompress(body + zlib.crc32(body).to_bytes(4, "big"), "x.pwc")


@MAKERS
def compressed_factory_left_out(folder):
    """The network came from a factory that is not named."""
    model = single()
    path = folder / "single.pwc"
    path.write_bytes(compress(model, cluster_tensors(model.module.state_dict(), 2)))
    load_compressed(path)


@MAKERS
def compressed_as_model(folder):
    """A compressed file where weights are asked for."""
    load_model(digits_file(folder))


@MAKERS
def command_restore_other_ending(folder):
    """Restored weights with the ending of another format."""
    run("restore", digits_file(folder), "--out", folder / "weights.onnx")


@MAKERS
def command_quantise_without_method(folder):
    """No method."""
    run("quantise", "digits-mlp", "--out", folder / "out")


@MAKERS
def command_prune_quantise_nowhere(folder):
    """Files of a replacement without a folder for them."""
    run("prune", "digits-mlp", "--method", "uniform", "--sparsity", "0.5", "--quantise", "cluster")


@MAKERS
def command_quantise_unknown_coding(folder):
    """A coding with a letter missing."""
    run("quantise", "digits-mlp", "--method", "cluster", "--coding", "rang", "--out", folder)


@MAKERS
def replacement_none_asked(folder):
    """No method where some are needed."""
    run("quantise", "digits-mlp", "--method", "", "--out", folder / "out")
