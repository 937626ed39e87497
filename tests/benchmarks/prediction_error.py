"""How far predicted losses and accuracies are off, and whether the bands hold.

Run: python -m tests.benchmarks.prediction_error [--folder DIR]

Works on what ``python -m tests.benchmarks.prediction_cases`` measured, needs a minute or two, and
writes results/prediction.md. The constants are always fitted on other models than the one that is
scored. Plans that rules made come from the very curves that predict them. "In turn" corrects the
prediction by the plans measured before, as a workspace does: each plan is predicted from those
before it.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from tests.benchmarks.prediction_cases import FOLDER, STEPS
from tests.benchmarks.prediction_fit import CHANCE, Trial, fit_everything, literal, trials
from workbench.prediction import Prediction, Prior, Shift, predict_in_turn

TABLES = Path(__file__).parent / "results" / "prediction.md"
MILD = 0.1
"""Measured drops of accuracy below this are those that a person would still consider."""
FIRST = 5
"""A workspace has measured so many plans before "later" begins."""
REACH = 0.65
"""For the test of extrapolation the curves end below this level."""
SUM = Prior(1.0, 1e6, *[Shift()] * 5, (1e-6, 1e-6), 1e-6, 1e-6, 1e-6)
"""The plain sum of damages, without a band."""


@dataclass(frozen=True)
class Row:
    """One plan: what was predicted and what was measured."""

    trial: Trial
    number: int
    found: Prediction

    @property
    def loss(self) -> float:
        return self.trial.plans[self.number].loss

    @property
    def accuracy(self) -> float:
        return self.trial.plans[self.number].accuracy

    @property
    def is_mild(self) -> bool:
        return self.trial.baseline.accuracy - self.accuracy < MILD

    @property
    def off(self) -> float:
        """Points between predicted and measured accuracy."""
        return 100 * abs(self.found.accuracy - self.accuracy)

    @property
    def inside(self) -> bool:
        return self.found.accuracy_low <= self.accuracy <= self.found.accuracy_high

    @property
    def width(self) -> float:
        """Points between the ends of the band."""
        return 100 * (self.found.accuracy_high - self.found.accuracy_low)


def alone(trial: Trial, prior: Prior) -> list[Row]:
    """Every plan predicted from the curves alone."""
    predictor = trial.predictor(prior)
    return [Row(trial, n, predictor.predict(p.sparsities)) for n, p in enumerate(trial.plans)]


def ruled(trial: Trial, prior: Prior) -> list[Row]:
    """Plans that rules made from the very curves that predict them."""
    return alone(replace(trial, plans=trial.ruled), prior)


def in_turn(trial: Trial, prior: Prior) -> list[Row]:
    """Every plan predicted from the curves and the plans before it."""
    repaired, same, curves_repair = trial.options
    found = predict_in_turn(
        trial.baseline, trial.points, chance=CHANCE, plans=trial.plans, prior=prior,
        repaired=repaired, same_criterion=same, curves_repair=curves_repair,
    )  # fmt: skip
    return [Row(trial, number, one) for number, one in enumerate(found)]


def walked(trial: Trial, prior: Prior, anchored: bool) -> list[Row]:
    """Steps of walks, each predicted from everything measured before, as while editing.

    Args:
        trial: Curves, plans and steps.
        prior: The constants.
        anchored: Whether the nearest plan that was measured has a say of its own.
    """
    rows = []
    whole = replace(trial, plans=trial.plans + trial.steps)
    for number in range(len(trial.plans), len(whole.plans)):
        if (number - len(trial.plans)) % STEPS == 0:
            continue  # where a walk begins
        predictor = trial.predictor(prior, whole.plans[:number])
        if not anchored:
            predictor = replace(predictor, anchors=())
        rows.append(Row(whole, number, predictor.predict(whole.plans[number].sparsities)))
    return rows


def shortened(trial: Trial, prior: Prior) -> list[Row]:
    """Plans that cut beyond the curves, of which the upper levels are taken away."""
    points = tuple(point for point in trial.points if point.level < REACH)
    return [row for row in alone(replace(trial, points=points), prior) if row.found.extrapolated]


HEADINGS = (
    "", "plans", "Spearman of the loss", "of which mild", "median error, points",
    "inside the band", "inside, mild", "median width, points",
)  # fmt: skip


def line(name: str, rows: Sequence[Row]) -> str:
    """One row of a table; mild plans lose less than ten points."""
    mild = [row for row in rows if row.is_mild]
    rank = spearmanr([row.found.loss for row in rows], [row.loss for row in rows])[0]

    def share(of: Sequence[Row]) -> str:
        return f"{100 * np.mean([row.inside for row in of]):.0f} %" if of else "-"

    def middle(of: Callable[[Row], float]) -> str:
        return f"{np.median([of(row) for row in mild]):.2f}" if mild else "-"

    cells = [
        name, str(len(rows)), f"{rank:.3f}", str(len(mild)), middle(lambda row: row.off),
        share(rows), share(mild), middle(lambda row: row.width),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table(title: str, rows: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """A table in Markdown; rows without a plan are left out."""
    head = [f"### {title}", "", f"| {' | '.join(HEADINGS)} |", f"|{' --- |' * len(HEADINGS)}"]
    return "\n".join([*head, *(line(name, own) for name, own in rows if len(own) > 2), ""])


def by_case(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of every case."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.trial.plans_of.name, []).append(row)
    return list(found.items())


def hundred(rows: Sequence[Row]) -> list[Row]:
    """A hundred plans, as many of every case as of any other, as far as that goes."""
    random = np.random.default_rng(0)
    cases = [[own[i] for i in random.permutation(len(own))] for _name, own in by_case(rows)]
    turns = [own[turn] for turn in range(max(map(len, cases))) for own in cases if turn < len(own)]
    return turns[:100]


def score(everything: Sequence[Trial]) -> str:
    """All tables."""
    plain: list[Row] = []
    turned: list[Row] = []
    short: list[Row] = []
    added: list[Row] = []
    by_rule: dict[bool, list[Row]] = {False: [], True: []}
    walks: dict[bool, list[Row]] = {False: [], True: []}
    for model in sorted({trial.plans_of.model for trial in everything}):
        others = [t for t in everything if t.plans_of.model != model]
        prior = fit_everything(others)
        random_only = fit_everything([replace(t, ruled=()) for t in others if t.plans])
        for trial in everything:
            if trial.plans_of.model != model or not trial.relation:
                continue
            plain += alone(trial, prior)
            turned += in_turn(trial, prior)
            by_rule[True] += ruled(trial, prior)
            by_rule[False] += ruled(trial, random_only)
            if trial.same:
                short += shortened(trial, prior)
                added += alone(trial, SUM)
                for anchored in (False, True):
                    walks[anchored] += walked(trial, prior, anchored)

    def of(rows: Sequence[Row], relation: str, repaired: bool, later: bool = False) -> list[Row]:
        return [
            row for row in rows
            if row.trial.relation == relation and row.trial.options[0] == repaired
            and (row.number >= FIRST or not later)
        ]  # fmt: skip

    own = of(plain, "same", True)
    parts = [
        table("After repair, curves of the plans' own kind", [
            ("a hundred plans of all cases", hundred(own)),
            ("all plans, from the curves alone", own),
            ("all plans, in turn", of(turned, "same", True)),
            ("in turn, from the sixth on", of(turned, "same", True, True)),
            ("all plans, plain sum of damages", of(added, "same", True)),
        ]),
        table("The same by case, from the curves alone", by_case(own)),
        table("Plans that rules made from the very curves that predict them", [
            ("made from curves after their own repair", of(by_rule[True], "same", True)),
            ("made from curves after a milder repair", of(by_rule[True], "milder_repair", True)),
            ("not repaired", of(by_rule[True], "same", False)),
            ("own repair, constants of random plans", of(by_rule[False], "same", True)),
            ("milder repair, constants of random plans", of(by_rule[False], "milder_repair", True)),
        ]),
        table(
            "The same by case",
            by_case([row for row in by_rule[True] if row.trial.options[0] and row.trial.same]),
        ),
        table("Without repair", [
            ("from the curves alone", of(plain, "same", False)),
            ("in turn", of(turned, "same", False)),
            ("plain sum of damages", of(added, "same", False)),
        ]),
        table(
            "Small changes, one after the other, each measured before the next",
            [("with what the nearest plan says", walks[True]), ("without", walks[False])],
        ),
        table("Where the curves say less", [
            ("beyond the curves", [row for row in short if row.trial.options[0]]),
            *(
                (f"{name}, {how}", of(rows, relation, True, later))
                for name, relation in (
                    ("curves of another criterion", "other_criterion"),
                    ("curves after a milder repair", "milder_repair"),
                    ("curves after a stronger repair", "stronger_repair"),
                )
                for how, rows, later in (
                    ("from them alone", plain, False), ("in turn, from the sixth on", turned, True),
                )
            ),
        ]),
    ]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    """Score, and write the tables and the constants fitted to all models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--tables", type=Path, default=TABLES)
    arguments = parser.parse_args()
    everything = trials(arguments.folder)
    text = "\n".join([
        "# Predicted against measured", "",
        "Written by `python -m tests.benchmarks.prediction_error`. Constants are fitted on other",
        "models than the one that is scored. Mild plans lose less than ten points of accuracy.", "",
        score(everything), "### Constants fitted to all models", "",
        "```python", literal(fit_everything(everything)), "```", "",
    ])  # fmt: skip
    arguments.tables.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
