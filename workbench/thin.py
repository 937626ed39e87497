"""Give a freshly built network the shapes and weights of a structurally pruned one."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

HEADS = ("heads", "num_heads", "n_heads", "num_attention_heads")
QUERIES = ("query", "q", "q_proj", "to_q", "qkv", "qkv_proj", "to_qkv", "query_key_value")


def thin_(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give every layer the shapes of ``tensors`` and load them; nothing but ``module`` changes.

    Layer attributes follow: channels, groups, features, hidden sizes, attention heads (the width
    of a head stays). Data types, devices, ``requires_grad`` and shared parameters stay.

    Args:
        module: The network as its class builds it, before pruning.
        tensors: State dict of the pruned network: the same names, no shape larger.

    Raises:
        ValueError: Naming the tensor that is missing, not known, or of a shape that the network
            cannot follow; the module is then half changed and to be thrown away.
    """
    dense = module.state_dict(keep_vars=True)
    for name in dense:
        if name not in tensors:
            raise ValueError(f"{name} is missing.")
    for name in tensors:
        if name not in dense:
            raise ValueError(f"{name} is not part of the network.")
    if any(dense[name].shape != tensors[name].shape for name in dense):
        _replace_(dense, tensors)
        for path, layer in module.named_modules():
            _follow_(layer, f"{path}." if path else "")
    module.load_state_dict(tensors)


def _replace_(dense: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Give every parameter and buffer its new shape; tied ones are one object and stay so."""
    shapes = {name: tuple(old.shape) for name, old in dense.items()}
    for name, old in dense.items():
        new, known = tuple(tensors[name].shape), shapes[name]
        fits = len(new) == len(known) and all(0 < n <= k for n, k in zip(new, known, strict=True))
        if new != known and not fits:
            raise ValueError(f"{name} is {_by(new)}, which {_by(known)} cannot be cut to.")
        if tuple(old.shape) not in (new, known):
            raise ValueError(f"{name} is {_by(new)}; it is tied to a tensor of {_by(old.shape)}.")
        if tuple(old.shape) != new:
            old.data = old.data.new_empty(new)


def _follow_(layer: nn.Module, path: str) -> None:
    """Make the attributes of one layer agree with the shapes of its tensors."""
    if isinstance(layer, _ConvNd):
        _follow_conv_(layer, path)
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
        _expect(layer, path, "bias", layer.out_features)
    elif isinstance(layer, _NormBase | nn.GroupNorm | nn.LayerNorm):
        _follow_norm_(layer, path)
    elif isinstance(layer, nn.RNNBase):
        _follow_recurrent_(layer, path)
    elif isinstance(layer, nn.RNNCellBase):
        layer.input_size, layer.hidden_size = layer.weight_ih.shape[1], layer.weight_hh.shape[1]
        gates = layer.weight_hh.shape[0]
        _expect(layer, path, "weight_ih", gates, layer.input_size)
        _expect(layer, path, "bias_ih", gates)
        _expect(layer, path, "bias_hh", gates)
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.embedding_dim = layer.weight.shape
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = layer.weight.shape[0]
    elif isinstance(layer, nn.MultiheadAttention):
        _follow_multihead_(layer, path)
    else:
        _follow_heads_(layer, path)


def _follow_conv_(layer: _ConvNd, path: str) -> None:
    """Channels of a convolution, ``(out, in / groups, *kernel)``; a transposed one swaps them.

    Where each group loses channels the groups stay; a depthwise convolution loses groups.
    """
    first, second, *kernel = layer.weight.shape
    transposed = isinstance(layer, _ConvTransposeNd)
    inputs, outputs, groups = layer.in_channels, layer.out_channels, layer.groups
    rows, columns = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    depthwise = groups > 1 and groups == inputs
    if second == columns and first < rows and (depthwise or first % groups):
        groups = _share(groups, first, rows, f"{path}weight")
    elif first % groups:
        raise ValueError(f"{path}weight has {first} rows for {groups} groups.")
    if tuple(kernel) != tuple(layer.kernel_size):
        raise ValueError(f"{path}weight has a kernel of {_by(kernel)}.")
    sides = (first, second * groups) if transposed else (second * groups, first)
    (layer.in_channels, layer.out_channels), layer.groups = sides, groups
    _expect(layer, path, "bias", layer.out_channels)


def _follow_norm_(layer: nn.Module, path: str) -> None:
    """Channels or features of a normalisation, all of whose tensors have the same shape."""
    sizes = [getattr(layer, name, None) for name in ("weight", "bias", "running_mean")]
    shape = next((tuple(t.shape) for t in sizes if t is not None), None)
    if shape is None:
        return
    for name in ("weight", "bias", "running_mean", "running_var"):
        _expect(layer, path, name, *shape)
    if isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = shape
    elif isinstance(layer, nn.GroupNorm):
        if shape[0] % layer.num_groups:
            raise ValueError(f"{path}weight has {shape[0]} rows for {layer.num_groups} groups.")
        layer.num_channels = shape[0]
    elif isinstance(layer, _NormBase):
        layer.num_features = shape[0]


def _follow_recurrent_(layer: nn.RNNBase, path: str) -> None:
    """Sizes of stacked recurrent layers, which all have the same number of hidden units."""
    per_unit = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
    rows, given = tuple(layer.get_parameter("weight_hh_l0").shape)
    hidden = rows // per_unit
    if not layer.proj_size and rows != given * per_unit:
        raise ValueError(f"{path}weight_hh_l0 is {_by((rows, given))}.")
    layer.hidden_size, layer.input_size = hidden, layer.get_parameter("weight_ih_l0").shape[1]
    layer.proj_size = given if layer.proj_size else 0
    for name in layer._flat_weights_names:
        kind, _, place = name.partition("_l")
        first = place.partition("_")[0] == "0"
        below = layer.input_size if first else given * (1 + layer.bidirectional)
        columns = {"weight_ih": (rows, below), "weight_hh": (rows, given)}
        _expect(layer, path, name, *columns.get(kind, (given, hidden) if "hr" in kind else (rows,)))
    layer.flatten_parameters()


def _follow_multihead_(layer: nn.MultiheadAttention, path: str) -> None:
    """Width of PyTorch's own attention: it shrinks within the heads, whose number stays."""
    width = layer.out_proj.weight.shape[0]
    if layer.out_proj.weight.shape[1] != width or width % layer.num_heads:
        raise ValueError(f"{path}out_proj.weight does not fit {layer.num_heads} heads.")
    if layer.in_proj_weight is not None:
        _expect(layer, path, "in_proj_weight", 3 * width, width)
        layer.kdim = layer.vdim = width
    else:
        layer.kdim, layer.vdim = layer.k_proj_weight.shape[1], layer.v_proj_weight.shape[1]
    layer.embed_dim, layer.head_dim = width, width // layer.num_heads


def _follow_heads_(layer: nn.Module, path: str) -> None:
    """Number of heads of an attention block: in proportion to the width of its queries."""
    children = dict(layer.named_children())
    child = next((name for name in QUERIES if name in children), "")
    query = children.get(child)
    if not isinstance(query, nn.Linear) or query.weight.shape[0] == query.out_features:
        return
    for name in HEADS:
        heads = getattr(layer, name, None)
        if isinstance(heads, int):
            rows, before = query.weight.shape[0], query.out_features
            setattr(layer, name, _share(heads, rows, before, f"{path}{child}.weight"))


def _share(count: int, now: int, before: int, name: str) -> int:
    """The part of ``count`` groups or heads that goes with ``now`` of ``before`` rows."""
    if count * now % before:
        raise ValueError(f"{name} has {now} rows of {before}: {count} do not shrink in proportion.")
    return count * now // before


def _expect(layer: nn.Module, path: str, name: str, *shape: int) -> None:
    """Refuse a tensor that does not go with the others of its layer; None is let through."""
    tensor = getattr(layer, name, None)
    if tensor is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{path}{name} is {_by(tensor.shape)} where {_by(shape)} was expected.")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
