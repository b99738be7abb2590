"""`method = "society"`: improvement without labels, by debate, vote and finetuning."""

import shutil
from collections.abc import Mapping, Sequence
from typing import ClassVar

from fulcrum.artifact import Artifact, Deployed, OpenModel
from fulcrum.errors import TaskError
from fulcrum.methods import Contender, PlannedCalls, Role, asked_by_the_task, prompt_tokens
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.society.arms import ARMS, lines_of
from fulcrum.society.deploy import DISTILLED, open_society, write_artifact
from fulcrum.society.distil import distil
from fulcrum.society.history import read_history
from fulcrum.society.learn import learn
from fulcrum.society.measure import Point
from fulcrum.society.settings import SocietySettings
from fulcrum.society.workshop import Workshop
from fulcrum.task import Split, Task


class SocietyMethod:
    """N generation agents and N critic agents on one base."""

    name = "society"
    summary = "Agents debate, vote, and learn from what they agree on: questions only, no labels."
    settings = SocietySettings
    quick: ClassVar[Mapping[str, str]] = {
        "iterations": "1",
        "questions": "150",
        "measure": "10",
        "likelihood": "0",
        "distil": "false",
        "serve": "debate",
        "arms": '["base", "majority", "debate", "society"]',
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "agent": Role("what every agent starts as", default="lab:large", trained=True)
    }

    def plan(self, recipe: Recipe) -> Sequence[PlannedCalls]:
        """Return the calls of training, of measuring each iteration, and of the evaluation on the test split."""
        settings = recipe.settings_as(SocietySettings)
        task = _suited(recipe.task, settings)
        debate, answer = settings.debate, settings.debate.max_tokens or recipe.task.max_tokens
        dev = min(settings.measure, len(task.splits.get("dev", ())))
        # the answers of the others, or a participant's own and what it was told of them
        heard = max(debate.agents - 1, 2 * (debate.rounds - 1)) * max(answer, debate.summary_tokens)
        prompt = prompt_tokens(task, answer) + heard
        again = settings.again * min(settings.annotator.labels, settings.questions)
        rows: list[PlannedCalls] = []
        for line in lines_of(settings.arms):
            calls = line.settings(debate).calls if line.debates else debate.agents
            asked = settings.iterations * (settings.questions + (0 if line.gold else again)) * calls
            rows.append(PlannedCalls(f"debates of {line.name}", "agent", asked, prompt, answer))
        calls = {name: ARMS[name].settings(debate).calls for name in settings.arms}
        often = {name: settings.iterations + 1 if ARMS[name].line else 1 for name in settings.arms}
        measured = dev * (1 + sum(calls[name] * often[name] for name in calls))
        test = len(task.examples("test"))
        tested = test * (1 + sum(calls.values()) + settings.distil)
        rows.append(PlannedCalls("measuring iterations", "agent", measured, prompt, answer))
        if settings.distil:
            rows.append(PlannedCalls("distilling", "agent", settings.questions * debate.calls, prompt, answer))
        rows.append(PlannedCalls("evaluation", "agent", tested, prompt, answer))
        scored = dev * (1 + sum(often.values())) + test * (1 + len(calls) + settings.distil)
        rows += asked_by_the_task(recipe, answer, scored)
        return [row for row in rows if row.calls]

    def learn(self, run: Run) -> None:
        """Run the algorithm on every line, distil, and write `artifact/`; it needs no target but STaR's."""
        settings = run.recipe.settings_as(SocietySettings)
        _suited(run.task, settings)
        history = learn(run, settings)
        agents = history.agents("society")
        sentence = next(iter(history.ended.values()), "")  # the society's, if it is among them
        if agents is None:
            shutil.rmtree(run.artifact, ignore_errors=True)
            run.log("learned", artifact=None, sentence=sentence)
            return
        distilled = distil(run, settings, agents) if settings.distil else None
        write_artifact(run, settings, agents, distilled, sentence)
        run.log("learned", artifact="artifact", sentence=sentence)

    def contenders(self, run: Run) -> Sequence[Contender]:
        """Return the base's greedy answer, every arm with the weights of its best iteration, and what was distilled."""
        settings, history = run.recipe.settings_as(SocietySettings), read_history(run.folder)
        workshop = Workshop(run, settings)
        contenders = [Contender(workshop.direct, "baseline")]
        for name, arm in ARMS.items():
            agents = history.agents(arm.line) if arm.line else None
            if name in settings.arms and (agents or not arm.line):
                contenders.append(Contender(workshop.solver(arm, agents), arm.role))
        if (distilled := run.artifact / DISTILLED).is_dir():
            contenders.append(Contender(workshop.alone(distilled, DISTILLED), "method"))
        return contenders

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        """Open the society, or the agent that was distilled from it, as a model."""
        return open_society(artifact, open_model)


def measure_history(run: Run, split: Split, limit: int | None = None) -> list[Point]:
    """Measure every arm after every iteration on a split; what was measured before is only looked up."""
    settings, history = run.recipe.settings_as(SocietySettings), read_history(run.folder)
    workshop = Workshop(run, settings)
    limit = limit or len(run.task.examples(split))
    points = workshop.measure(None, 0, None, split, limit)
    for line in lines_of(settings.arms):
        points += workshop.measure(line, 0, dict.fromkeys(line.agents(settings.debate.agents)), split, limit)
        for one in history.iterations.get(line.name, []):
            points += workshop.measure(line, one.number, one.agents, split, limit)
    workshop.close()
    return points


def _suited(task: Task, settings: SocietySettings) -> Task:
    """Return a task, or refuse it: it needs final answers, and targets for an arm that reads them."""
    if task.scorer is None:
        raise TaskError(f"{task.name} is a dialogue task: it has no final answers to vote on; use strategies instead")
    if any(line.gold for line in lines_of(settings.arms)) and (missing := task.unlabelled("train")):
        raise TaskError(
            f"{task.name}: the arm star learns from answers that are right by their targets, and {len(missing)} train "
            "examples have none; take star out of settings.arms"
        )
    return task


METHOD = SocietyMethod()
