"""Export: a pruned model as files that run elsewhere, each checked against the model in memory."""

from workbench.export.check import check_folder, verify_export
from workbench.export.exported import Exported, ExportedFile, FileCheck
from workbench.export.exporting import export_file, export_model
from workbench.export.folder import check_target, zip_export
from workbench.export.formats import FORMATS, Format, get_formats
from workbench.export.source import model_source

__all__ = [
    "FORMATS",
    "Exported",
    "ExportedFile",
    "FileCheck",
    "Format",
    "check_folder",
    "check_target",
    "export_file",
    "export_model",
    "get_formats",
    "model_source",
    "verify_export",
    "zip_export",
]
