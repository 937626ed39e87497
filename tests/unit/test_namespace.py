"""``import workbench as wb``: every public name, light until it is used."""

import subprocess
import sys

import pytest

import workbench as wb

VERBS = (
    "load_model", "load_data", "inspect", "measure_sensitivity", "allocate", "prune", "repair",
    "finetune", "measure", "score", "export_model", "run_experiment",
)  # fmt: skip


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("name", wb.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(wb, name) is not None
    assert name in dir(wb)


@pytest.mark.parametrize("name", VERBS)
def test_every_step_of_the_road_is_a_function(name: str) -> None:
    assert callable(getattr(wb, name))
    assert name in wb.__all__


def test_a_submodule_does_not_take_the_place_of_the_function_of_its_name() -> None:
    code = (
        "import workbench.prune, workbench.repair, workbench.finetune, workbench as wb;"
        "from workbench import errors;"
        "print(callable(wb.prune), callable(wb.repair), callable(wb.finetune), errors.__name__)"
    )
    assert run(code) == "True True True workbench.errors"


def test_nothing_heavy_is_imported_at_first() -> None:
    assert run("import sys, workbench as wb; dir(wb); print('torch' in sys.modules)") == "False"
    code = "import sys, workbench as wb; wb.PruningPlan({}); print('torch' in sys.modules)"
    assert run(code) == "False"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'prun'"):
        _ = wb.prun
