"""Plan files: YAML that people edit, read strictly."""

from pathlib import Path

import pytest
from hypothesis import given

from tests.unit.test_plan import plans
from workbench.errors import PlanError, StorageError
from workbench.plan import PruningPlan
from workbench.plan_file import format_plan, read_plan, write_plan


@given(plans)
def test_any_plan_survives_its_text(plan: PruningPlan) -> None:
    assert read_plan(format_plan(plan)) == plan


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = PruningPlan({"1.10": 0.5, "yes": 0.25, "schicht-ä": 1 / 3}, seed=7)
    write_plan(plan, tmp_path / "plan.yaml")
    assert read_plan(tmp_path / "plan.yaml") == plan
    assert read_plan(str(tmp_path / "plan.yaml")) == plan


def test_keys_mean_what_is_written() -> None:
    plan = read_plan("sparsities:\n  1.10: 0.5\n  2: 0.25\n  yes: 0.75\n")
    assert dict(plan.sparsities) == {"1.10": 0.5, "2": 0.25, "yes": 0.75}
    assert (plan.criterion, plan.seed) == ("l1", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparsities:\n  conv1: 0.5\n  conv1: 0.6\n", "The plan gives 'conv1' twice."),
        ("sparsities: {conv1: 0.5\n", "The plan is not valid YAML in line 2:"),
        ("sparsities:\n\tconv1: 0.5\n", "The plan is not valid YAML in line 2:"),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "The plan holds something that is no plain",
        ),
        ("? [1, 2]\n: 3\n", "The plan has a key that is not a word."),
        ("just: words\n", "The plan holds the unknown key 'just'."),
        ("conv1\nconv2\n", "The plan is a str, not a mapping."),
        ("", "The plan is empty."),
        ("sparsities:\n  conv1: 1e-1\n", "conv1 asks for sparsity '1e-1', which is not a number."),
        ("sparsities:\n", "The plan's 'sparsities' is a NoneType, not a mapping."),
        ("a: " + "[" * 400 + "]" * 400, "The plan is not valid YAML."),
        ("a: \x00", "The plan is not valid YAML."),
    ],
)
def test_faulty_text_is_refused_by_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(PlanError) as refused:
        read_plan(text)
    assert str(refused.value).startswith(message)


def test_faulty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="There is no plan file"):
        read_plan(tmp_path / "missing.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="binary is not a text file"):
        read_plan(tmp_path / "binary")
    (tmp_path / "large").write_text("#" * 1_000_001)
    with pytest.raises(PlanError, match="large has more than 1,000,000 bytes, too many"):
        read_plan(tmp_path / "large")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path)
    with pytest.raises(StorageError, match="cannot be written"):
        write_plan(PruningPlan({}), tmp_path / "no folder" / "plan.yaml")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no endless file")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(PlanError, match="zero has more than 1,000,000 bytes, too many for a plan"):
        read_plan(Path("/dev/zero"))
