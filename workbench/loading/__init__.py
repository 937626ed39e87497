"""Loading models and data: samples, files, uploads and the user's own code.

Nothing inside a file is executed, sizes are bounded before anything unpacks, and whatever does
not fit is refused by name.
"""

from workbench.loading.arrays import load_data, load_uploaded_data
from workbench.loading.models import load_model, load_uploaded_model
from workbench.loading.samples import (
    sample_card,
    sample_data_names,
    sample_folder,
    sample_names,
)

__all__ = [
    "load_data",
    "load_model",
    "load_uploaded_data",
    "load_uploaded_model",
    "sample_card",
    "sample_data_names",
    "sample_folder",
    "sample_names",
]
