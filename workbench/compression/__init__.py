"""Deep compression: clustering, its training, its coding into one file, and the way back."""

from workbench.compression.clustering import Clustered, ClusteredTensor, cluster_tensors
from workbench.compression.compressed import SUFFIX, Compressed, compress, decompress
from workbench.compression.restoring import load_compressed, read_compressed, restore

__all__ = [
    "SUFFIX",
    "Clustered",
    "ClusteredTensor",
    "Compressed",
    "cluster_tensors",
    "compress",
    "decompress",
    "load_compressed",
    "read_compressed",
    "restore",
]
