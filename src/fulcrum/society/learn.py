"""Algorithm 1 of multiagent finetuning (Subramaniam et al., arXiv 2501.05707), one line of agents at a time.

::

    every agent starts as the base
    L times:
        debate every question                         `Debate`
        label it with the vote of the last round      `label`, or a person
        give each agent its own data                  `training_rows`
        finetune each agent on its own data only      `Workshop.finetune`
        measure, and stop at a plateau                `Workshop.measure`
use the agents of the best iteration              `best_iteration`

The ablations differ in who debates and who learns what (`Line`), not in this loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulcrum.runs import Run
from fulcrum.society.arms import Agents, Line, lines_of
from fulcrum.society.debate import Transcript
from fulcrum.society.history import History, Iteration, write_history
from fulcrum.society.labels import PseudoLabel, gold_label, label, nothing_to_learn
from fulcrum.society.measure import POINTS, Point, best_iteration, plateau, write_curve, write_points
from fulcrum.society.rows import TrainingRow, training_rows
from fulcrum.society.settings import SocietySettings
from fulcrum.society.workshop import LABELS, Workshop


def learn(run: Run, settings: SocietySettings) -> History:
    """Train every line that the arms need, and return what became of each; called again it continues."""
    workshop = Workshop(run, settings)
    (run.folder / LABELS).unlink(missing_ok=True)  # new feedback may end a line earlier
    try:
        points = workshop.measure(None, 0, None)
        if sentence := hopeless(points):
            history = History({}, {line.name: sentence for line in lines_of(settings.arms)})
        else:
            outcomes = {line.name: improve(workshop, line) for line in lines_of(settings.arms)}
            points += [point for outcome in outcomes.values() for point in outcome.points]
            history = History(
                {line: outcome.iterations for line, outcome in outcomes.items()},
                {line: outcome.sentence for line, outcome in outcomes.items()},
                {line: outcome.best for line, outcome in outcomes.items()},
                {line: outcome.debates for line, outcome in outcomes.items()},
            )
        write_points(run.folder / POINTS, points)
        write_curve(run.artifact, points, max(map(len, history.iterations.values()), default=0))
        write_history(run.folder, history)
        return history
    finally:
        workshop.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a line.

    Attributes:
        iterations: those that it has finished.
        points: where they were measured.
        best: the iteration whose agents are used.
        debates: the stage that holds its last debates.
        sentence: why it ended.
    """

    iterations: list[Iteration]
    points: list[Point]
    best: int | None
    debates: str
    sentence: str


def improve(workshop: Workshop, line: Line) -> Outcome:
    """Run the algorithm on one line."""
    settings = workshop.settings
    agents: Agents = dict.fromkeys(line.agents(settings.debate.agents))
    points = workshop.measure(line, 0, agents)
    iterations: list[Iteration] = []
    while True:
        number = len(iterations) + 1
        held = workshop.debate(line, number, agents)
        labels = [label_of(workshop, line, debate) for debate in held.debates]
        if not line.gold:
            workshop.report_labels(held, labels)
        labels = workshop.corrected(held, labels)
        preferred = any(workshop.preferences(held, agent) for agent in agents)
        if not (line.gold or preferred) and (ended := nothing_to_learn(held.debates, labels)):
            break
        session, labels = workshop.debate_again(held, labels, agents)
        vetoes, seed = workshop.vetoes(line), workshop.seed(line, number)
        rows = training_rows(line, session.debates, labels, settings, seed, vetoes)
        if not preferred and (ended := too_few(rows, settings.min_rows)):
            break
        before = agents
        agents = workshop.finetune(session, labels, rows, before)
        iterations.append(Iteration(number, agents, kept=[agent for agent in agents if agents[agent] == before[agent]]))
        points += workshop.measure(line, number, agents)
        if ended := plateau(points, line, number, settings):
            break
        if number == settings.iterations:
            ended = f"All {number} iterations are done."
            break
    best = best_iteration(points, line, settings, len(iterations)) if iterations else None
    if best is not None and best < len(iterations):
        ended += f" The agents of iteration {best} are used, the best on dev questions."
    return Outcome(iterations, points, best, held.stage, ended)


def label_of(workshop: Workshop, line: Line, debate: Transcript) -> PseudoLabel:
    """Return the label of a debate: the vote, or for STaR the target."""
    if line.gold:
        return gold_label(workshop.task, workshop.example(debate.question_id), debate)
    return label(debate, workshop.settings, workshop.run.recipe.seed)


def too_few(rows: Mapping[str, Sequence[TrainingRow]], least: int) -> str | None:
    """Return a sentence if no agent has enough rows to learn from."""
    most = max(len(own) for own in rows.values())
    if most >= least:
        return None
    return (
        f"No agent has {least} rows to learn from (the most is {most}): nothing was finetuned. Debate more questions, "
        "or lower min_rows."
    )


def hopeless(points: Sequence[Point]) -> str | None:
    """Return a sentence if the base solves none of the dev questions, or all of them, by vote and by single answer."""
    if not points:
        return None
    if all(point.right == 0 for point in points):
        return (
            f"The base solves none of {points[0].n} dev questions, alone or by vote: what its agents agree "
            "on is wrong. Take easier questions or a stronger model."
        )
    if all(point.right == point.n for point in points):
        return (
            f"The base solves all of {points[0].n} dev questions, alone and by vote: there is nothing to gain. "
            "Take harder questions."
        )
    return None
