"""Groups as the command line shows them: what can be cut, and what a plan cuts of it."""

from workbench.cli.output import table
from workbench.groups import Groups
from workbench.plan import PruningPlan
from workbench.stages import stage_of_groups


def groups_text(groups: Groups) -> str:
    """A table of the groups for people, and below it why some cannot be cut."""
    rows, reasons = [], []
    stages = stage_of_groups(groups)
    for group in groups.groups:
        others = len(group.layers) + len(group.consumers) - 1
        rows.append([
            group.name, group.unit, f"{group.num_units:,}", str(others) if others else "",
            f"{group.num_params:,}", f"{group.macs:,}",
            stages[group.name].title if group.name in stages else "",
            ("protected" if group.protected else "yes") if group.prunable else "no",
        ])  # fmt: skip
        if not group.prunable:
            reasons.append(f"{group.name}: {group.reason}")
    heads = ["group", "unit", "units", "layers with it", "parameters", "MACs", "stage", "prunable"]
    title = f"Groups at granularity {groups.granularity.name}"
    return "\n".join([title, table(heads, rows), *reasons])


def cuts(groups: Groups, plan: PruningPlan) -> list[dict[str, object]]:
    """What a plan takes of every group it names, in plain values; weights or whole channels."""
    structured = groups.granularity.structured
    rows: list[dict[str, object]] = []
    for name, sparsity in plan.sparsities.items():
        group = groups.group(name)
        total = group.num_units if structured else group.num_params
        gone = groups.num_pruned(name, sparsity, plan.channel_multiple)
        rows.append({
            "group": name, "layers": list(group.layers),
            "unit": group.unit if structured else "weight", "num_units": total,
            "num_pruned": gone, "num_kept": total - gone,
        })  # fmt: skip
    return rows


def cuts_comment(groups: Groups, plan: PruningPlan) -> str:
    """How many channels stay in every group, as comments of a plan; empty for weights."""
    if not groups.granularity.structured:
        return ""
    lines = [
        f"# {row['group']}: keeps {row['num_kept']} of {row['num_units']} {row['unit']}s"
        for row in cuts(groups, plan)
    ]
    return "".join(f"{line}\n" for line in lines)
