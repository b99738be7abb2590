"""The method that learns nothing: what a model does alone, and what more calls of it can buy.

Run it first. It shows whether there is anything to gain, and every other method must beat it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from fulcrum.artifact import Artifact, Deployed, OpenModel
from fulcrum.chat import Sampling
from fulcrum.errors import RunError
from fulcrum.evaluation.baselines import BestOfN, Direct, FewShot, SelfConsistency, draw_demonstrations
from fulcrum.methods import Contender, PlannedCalls, Role, asked_by_the_task, planned_turns, prompt_tokens
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.settings import Settings


class BaselineSettings(Settings):
    """What to compare with asking once. A zero leaves that solver out.

    Attributes:
        shots: solved training examples shown by `few-shot`.
        votes: draws of `self-consistency`, and of the oracle's pass@n.
        best_of: draws of `best-of-n`, chosen by log-probability; the model must offer those.
        temperature: of all draws but the single one, which is greedy.
        max_tokens: limit of an answer; the task's own if not set.
    """

    shots: int = Field(default=4, ge=0)
    votes: int = Field(default=9, ge=0)
    best_of: int = Field(default=0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: int | None = Field(default=None, ge=1)


class BaselineMethod:
    """`method = "baseline"`."""

    name = "baseline"
    summary = "The model alone, with examples, and with votes: learns nothing, and shows what there is to gain."
    settings = BaselineSettings
    quick: ClassVar[Mapping[str, str]] = {"votes": "3"}
    roles: ClassVar[Mapping[str, Role]] = {"actor": Role("answers the task", default="lab:large")}

    def plan(self, recipe: Recipe) -> Sequence[PlannedCalls]:
        """Return the calls of the evaluation on the test split; a dialogue counts as one of average length."""
        settings, task = recipe.settings_as(BaselineSettings), recipe.task
        questions, length = len(task.examples("test")), planned_turns(recipe.task)
        answer = settings.max_tokens or task.max_tokens
        prompt = prompt_tokens(task, answer)
        shown = settings.shots * (prompt + answer)
        votes = settings.votes if task.scorer else 0
        turns = questions * length
        rows = [
            PlannedCalls("direct", "actor", turns, prompt, answer),
            PlannedCalls("few-shot", "actor", turns * min(settings.shots, 1), prompt + shown, answer),
            PlannedCalls("self-consistency", "actor", questions * votes, prompt, answer),
            PlannedCalls("best-of-n", "actor", turns * settings.best_of, prompt, answer),
        ]
        elected = 1 + votes if votes > 1 else 0  # the answer elected, and each draw for the oracle
        scored = questions * (1 + (settings.shots > 0) + elected + (settings.best_of > 1))
        rows += asked_by_the_task(recipe, answer, scored)
        return [row for row in rows if row.calls]

    def learn(self, run: Run) -> None:
        """Learn nothing; there is no artifact."""
        run.log("learned", artifact=None)

    def contenders(self, run: Run) -> Sequence[Contender]:
        """Return the model alone, then what it can be given without training.

        In a dialogue task there is no vote: two replies to a customer are never the same answer.
        """
        settings, task, actor = run.recipe.settings_as(BaselineSettings), run.task, run.model("actor")
        limit = settings.max_tokens or task.max_tokens
        greedy = Sampling(max_tokens=limit)
        drawn = Sampling(settings.temperature, max_tokens=limit, seed=run.recipe.seed)
        contenders = [Contender(Direct(actor, greedy), "baseline")]
        if settings.shots:
            shown = draw_demonstrations(task, settings.shots, run.recipe.seed)
            contenders.append(Contender(FewShot(actor, shown, greedy), "control"))
        if settings.votes > 1 and task.scorer:
            vote = SelfConsistency(actor, settings.votes, drawn, task.scorer.answer_key)
            oracle = Direct(actor, drawn, name="oracle")
            contenders += [Contender(vote, "control"), Contender(oracle, "ceiling", draws=settings.votes)]
        if settings.best_of > 1:
            contenders.append(Contender(BestOfN(actor, settings.best_of, drawn), "control"))
        return contenders

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        """Refuse: nothing was learned."""
        raise RunError(f"{artifact.folder}: a baseline learns nothing, so there is nothing to serve")


METHOD = BaselineMethod()
