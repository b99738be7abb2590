"""What a user may choose about a society; every default is the paper's, or ours where it says nothing."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fulcrum.errors import TaskError
from fulcrum.settings import Settings
from fulcrum.task import PromptTemplate
from fulcrum.training.settings import TrainingSettings

Summariser = Literal["base", "concatenate", "critic"]

ArmName = Literal[
    "base",
    "majority",
    "debate",
    "self-consistency",
    "star",
    "majority-ft",
    "majority-ft-equal-calls",
    "single-agent",
    "single-agent-no-debate",
    "no-summary",
    "no-critic",
    "society",
]


class DebateSettings(Settings):
    """How agents debate.

    Attributes:
        agents: participants; each has a generation agent and a critic agent.
        rounds: the first is answered by the generation agents, all later ones by the critics.
        order: `synchronous` shows a critic what the others said in the round before; `sequential` lets the critics
            of a round speak one after the other, each hearing those before it.
        summariser: who tells a critic what the others said: the model without adapters, nobody (it reads the
            answers themselves), or the critic's own weights.
        temperature: of answers; summaries are greedy.
        top_p: of answers.
        max_tokens: limit of an answer; the task's own if not set.
        summary_tokens: limit of a summary.
        summarise: prompt of the summariser, with `{prompt}` and `{answers}`.
        update: prompt of a critic after its own answer, with `{summary}`.
        separator: stands between the answers of others.
    """

    agents: PositiveInt = 3
    rounds: PositiveInt = 2
    order: Literal["synchronous", "sequential"] = "synchronous"
    summariser: Summariser = "base"
    temperature: PositiveFloat = 1.0
    top_p: float = Field(default=0.9, gt=0, le=1)
    max_tokens: PositiveInt | None = None
    summary_tokens: PositiveInt = 256
    summarise: str = (
        "{prompt}\n\nThese are the answers of other agents to this question:\n\n{answers}\n\n"
        "Summarise them: which final answers they give, how many agents give each, and how they got there."
    )
    update: str = (
        "These are the opinions of other agents:\n\n{summary}\n\n"
        "Use them as advice. Examine them and your own answer step by step, and give an updated answer, ending in the "
        "form that the question asks for."
    )
    separator: str = "\n\n"

    @field_validator("summarise", "update")
    @classmethod
    def _template(cls, text: str) -> str:
        try:
            PromptTemplate(text)
        except TaskError as error:
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _fields(self) -> Self:
        for name, wanted in (("summarise", {"prompt", "answers"}), ("update", {"summary"})):
            if PromptTemplate(getattr(self, name)).names() != wanted:
                fields = " and ".join(f"{{{field}}}" for field in sorted(wanted))
                raise ValueError(f"{name}: a template must show {fields} and nothing else; double other braces")
        return self

    @property
    def calls(self) -> int:
        """Calls that one answer takes."""
        summaries = 0 if self.summariser == "concatenate" else 1
        return self.agents * (1 + (self.rounds - 1) * (1 + summaries)) if self.agents > 1 else 1


class AnnotatorSettings(Settings):
    """A simulated person who fixes pseudo-labels after the first debate, from the targets of the train split.

    Attributes:
        labels: questions that are looked at; 0 leaves the person out.
        choose: the questions with the most split votes, or random ones.
        error_rate: how likely the person is wrong where the debate gave another answer: it is one of these.
    """

    labels: int = Field(default=0, ge=0)
    choose: Literal["split", "random"] = "split"
    error_rate: float = Field(default=0.0, ge=0, le=1)


class SocietySettings(Settings):
    """Algorithm 1, its baselines and its ablations.

    Attributes:
        iterations: rounds of debate and finetuning (L).
        questions: train questions debated in an iteration.
        draw: `same` debates the same questions in every iteration, `fresh` others each time.
        debate: how agents debate.
        tie: what becomes of a question whose vote is tied: a label by lot, or none.
        min_margin: smallest lead of the winner, as a share of the agents; below it there is no label.
        start: an agent's finetuning starts from its previous weights, or from the base.
        critic_loss: critics learn their last turn, or all their turns.
        w: weight of the critic rows whose first answer was wrong (D-).
        w_means: `mix` makes rows of which the share `w` is from D-; `pool` takes the share `w` of D- and `1 - w` of
            D+.
        min_rows: an agent with fewer rows keeps its weights.
        training: of every agent; `training.tuning` chooses adapters or whole models, its seed is the recipe's.
        patience: stop when the last so many iterations brought no significant gain on the dev split; 0 never stops.
        min_disagreement: stop when the agents' first answers differ from the vote in less than this share.
        measure: dev questions on which every iteration is measured; 0 measures nothing and never stops early.
        likelihood: dev questions on which the agents rate each other's answers; 0 leaves that out.
        arms: what is trained and compared; see `fulcrum.society.arms`.
        again: how often at most a question that a person gave the answer to is debated once more, until every agent
            has given it.
        annotator: a simulated person.
        distil: train one more adapter on the answers that the finished society votes for.
        serve: what an endpoint runs: the debate, or the distilled adapter.
    """

    iterations: PositiveInt = 1
    questions: PositiveInt = 500
    draw: Literal["same", "fresh"] = "same"
    debate: DebateSettings = DebateSettings()
    tie: Literal["random", "drop"] = "random"
    min_margin: float = Field(default=0.0, ge=0, le=1)
    start: Literal["previous", "base"] = "previous"
    critic_loss: Literal["final", "all"] = "final"
    w: float = Field(default=0.5, ge=0, le=1)
    w_means: Literal["mix", "pool"] = "mix"
    min_rows: PositiveInt = 8
    training: TrainingSettings = TrainingSettings(epochs=2)
    patience: int = Field(default=2, ge=0)
    min_disagreement: float = Field(default=0.0, ge=0, le=1)
    measure: int = Field(default=150, ge=0)
    likelihood: int = Field(default=0, ge=0)
    arms: tuple[ArmName, ...] = ("base", "majority", "debate", "self-consistency", "society")
    again: int = Field(default=3, ge=0)
    annotator: AnnotatorSettings = AnnotatorSettings()
    distil: bool = False
    serve: Literal["debate", "distilled"] = "debate"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.serve == "distilled" and not self.distil:
            raise ValueError("serve is 'distilled' and distil is false: set distil to true, or serve the debate")
        if self.debate.agents < 2:
            raise ValueError('debate.agents is 1: nobody to vote with; take 2 or more, or method = "baseline"')
        return self
