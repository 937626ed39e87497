"""Lottery tickets: train from new weights, cut, rewind, and train again."""

from dataclasses import replace

from workbench.sparse_training.addition import lowest_gone, magnitudes, sparsity_of
from workbench.sparse_training.curriculum import Curriculum, Trained
from workbench.sparse_training.fresh import with_new_weights
from workbench.sparse_training.growth import round_sparsity
from workbench.sparse_training.reporting import part_of
from workbench.sparse_training.stepping import Journal, everything, train_alive


def draw_ticket(curriculum: Curriculum) -> Trained:
    """Find a sparse network that trains from early weights, by rounds of cutting and rewinding."""
    settings, training = curriculum.settings, curriculum.settings.training
    fresh = with_new_weights(curriculum.model, training.seed)
    curriculum = replace(curriculum, model=fresh)
    module = fresh.copy_module()
    alive = everything(curriculum.ground, module)
    rounds, rewind = settings.rounds, settings.rewind_epochs
    parts = rounds + 1 + (rewind > 0)
    journal = Journal([], [])
    stopped = False
    early = module
    if rewind:
        brief = replace(training, epochs=rewind, seconds=None, schedule="constant")
        report = part_of(curriculum.report, 0, 1 / parts, "To the point of rewinding", _told(0, 0))
        tuned = train_alive(curriculum, module, alive, brief, report, keep="last")
        journal.add(tuned, 0.0, 0)
        early, stopped = tuned.pruned.model.module, tuned.stopped
    trained, note = early, ""
    for number in range(rounds + 1):
        if stopped or note:
            break
        if number:
            wanted = round_sparsity(number, rounds, settings.used_target or 0.0)
            alive = lowest_gone(magnitudes(curriculum.ground, trained), alive, wanted)
        sparsity = sparsity_of(alive)
        title = f"Round {number} of {rounds}, sparsity {100 * sparsity:.1f} %"
        place = parts - rounds - 1 + number
        report = part_of(
            curriculum.report, place / parts, (place + 1) / parts, title, _told(sparsity, number)
        )
        tuned = train_alive(curriculum, early, alive, training, report)
        journal.add(tuned, sparsity, number)
        trained, stopped, note = tuned.pruned.model.module, tuned.stopped, tuned.note
    return Trained(
        trained, alive, tuple(journal.entries), journal.samples_per_second, stopped, note
    )


def _told(sparsity: float, number: int) -> dict[str, float]:
    return {"sparsity": sparsity, "round": number}
