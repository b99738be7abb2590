"""How good the generator is before training and after each round, all of them on the same questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulcrum.artifact import read_artifact
from fulcrum.atomic import read_json
from fulcrum.errors import RunError
from fulcrum.evaluation.pairing import Outcome, mean_of, outcomes, pair
from fulcrum.evaluation.statistics import Interval
from fulcrum.runs import Run
from fulcrum.supplement.artifact import ROUNDS, name_of_round
from fulcrum.supplement.labels import form_entropy
from fulcrum.supplement.measure import answers_alone, answers_helped, forms_in, silence
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trainers import Weights
from fulcrum.task import Split


@dataclass(frozen=True, slots=True)
class Point:
    """The actor alone, or with the notes of one generator; None where there is nothing to measure.

    Attributes:
        generator: `none` is the actor alone; else `untrained`, or what trained it last.
        chosen: whether this one is deployed.
        n: questions with a score.
        mean: mean score.
        gain: paired difference to the actor alone.
        step: paired difference to the generator before.
        harm: share of what the actor solves alone that is broken.
        silent: share of notes that say nothing.
        form_entropy: of the notes, in bits.
    """

    generator: str
    chosen: bool
    n: int
    mean: Interval | None
    gain: Interval | None = None
    step: Interval | None = None
    harm: Interval | None = None
    silent: float | None = None
    form_entropy: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What the actor achieves, alone or with the notes of one generator.

    Attributes:
        generator: as in `Point`.
        chosen: as in `Point`.
        achieved: outcome of each question.
        forms: of the notes, see `forms_in`.
    """

    generator: str
    chosen: bool
    achieved: Mapping[str, Outcome]
    forms: Sequence[str] = ()


def curve(run: Run, split: Split = "dev", limit: int | None = None) -> list[Point]:
    """Return what `measure_generators` measures, as points of a curve."""
    return points_of(measure_generators(run, split, limit))


def points_of(measured: Sequence[Measured]) -> list[Point]:
    """Return the points of a curve; the first is the actor alone."""
    alone = measured[0].achieved
    points = [Point("none", False, len(alone), mean_of(alone))]
    before: Mapping[str, Outcome] = {}
    for one in measured[1:]:
        gained, stepped = pair(alone, one.achieved), pair(before, one.achieved)
        points.append(
            Point(
                one.generator,
                one.chosen,
                len(one.achieved),
                mean_of(one.achieved),
                gain=gained and gained.difference,
                step=stepped and stepped.difference,
                harm=gained and gained.harm,
                silent=silence(one.forms),
                form_entropy=form_entropy(one.forms),
            )
        )
        before = one.achieved
    return points


def measure_generators(run: Run, split: Split = "dev", limit: int | None = None) -> list[Measured]:
    """Measure the actor alone and with each generator of a run, greedy as it would be deployed.

    Args:
        run: that has learned.
        split: on which examples. Those of dev on which the round was chosen are in the store, but for the untrained
            generator's.
        limit: only this many of them; on dev by default as many as in training.

    Raises:
        RunError: the run has not learned, or does not say where the weights of each round are.
        BudgetSpent: the budget ended meanwhile; the same call continues.
    """
    artifact, settings = read_artifact(run.folder), run.recipe.settings_as(SupplementSettings)
    rounds: list[Mapping[str, str]] = read_json(artifact.folder / ROUNDS)
    if any("generator" not in one for one in rounds):
        raise RunError(
            f"{run.folder}: its {ROUNDS} does not name the weights of each round; `fulcrum train` on its recipe writes "
            "it anew, and repeats no call"
        )
    untrained = Weights(run.recipe.models["generator"], settings.warm_start.tuning)
    generators = {"untrained": untrained}
    generators |= {name_of_round(int(one["round"])): untrained.after(run.folder / one["generator"]) for one in rounds}
    chosen = name_of_round(artifact.facts["chosen"])
    if limit is None and split == "dev":
        limit = settings.dev_queries
    measured = [Measured("none", False, outcomes(answers_alone(run, settings, split, limit)))]
    for name, weights in generators.items():
        rollouts = answers_helped(run, settings, weights, split, limit)
        measured.append(Measured(name, name == chosen, outcomes(rollouts), forms_in(rollouts)))
    return measured
