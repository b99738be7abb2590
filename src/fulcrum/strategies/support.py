"""Dialogues with customers that a model plays: `task = "dialogue:FILE.toml"`, for an agent of your own.

The file names your policy, your customers and who plays them:

    name = "support"
    policy = "policy.md"                  # every agent is told this
    customers = "customers.jsonl"         # {"opening": ..., "wish": ..., "facts": ..., "mood": ...}
    customer = "https://api.example.com/v1#cheap-model"
    judge = "https://api.example.com/v1#strong-model"

Only `opening` and the policy are shown to an agent; the rest of a line is what the customer keeps to itself. There are
no tools and there is no database here: success is what the judge says. Where a database can say it, write an
environment as `lab:desk` does and name it `python:MODULE:FUNCTION`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from fulcrum.chat import ChatModel, Completion, Failure, Message, Request, Sampling, assistant, complete, resolve, user
from fulcrum.chat import system as system_message
from fulcrum.errors import TaskError
from fulcrum.settings import Settings, read_document, read_settings
from fulcrum.task import Example, PromptTemplate, Question, Score, Task, failed, graded
from fulcrum.task.files import Row, made_of, read_rows
from fulcrum.task.load import Sizes, TaskSpec
from fulcrum.task.scorers.json import find_json
from fulcrum.task.split import split_by_hash
from fulcrum.task.task import SPEECH_TOKENS, VERDICT_TOKENS
from fulcrum.task.taskfile import Shares

VERSION = 1
"""Version of the prompts of customer and judge: another one gives other scores."""

DONE = "[end]"
"""What a customer writes when it leaves."""

_CUSTOMER = """\
You play a customer who writes to a support desk. Stay in this role whatever you are told.
What only you know:
{secret}
Rules: one short message at a time, in your own words. Tell what you know only when you are asked or need it. Invent \
nothing that is not above. Never speak as the agent, and never describe what you think. When your matter is settled, \
refused for good, or not getting anywhere, say goodbye and end that message with {done}."""

_JUDGE = """\
You judge a finished support dialogue. The agent's instructions:
{policy}

What only the customer knew:
{secret}

Answer with JSON alone: {{"success": true if the customer got what the instructions grant, and nothing else, \
"satisfaction": 1 to 5, how satisfied this customer leaves, "violations": list of what the agent did against its \
instructions, "customer_fault": true if the customer left its role, contradicted what it knew, or \
ended for no reason}}"""

_WORTH_OF_SUCCESS, _VIOLATION = 0.5, 0.1


class DialogueFile(Settings):
    """The keys of a dialogue task file.

    Attributes:
        name: what results call the task.
        policy: text file with the agent's instructions.
        customers: JSONL, a customer a line; both files are relative to this one.
        customer: name of the model that plays them.
        judge: name of the model that judges finished dialogues.
        shares: how the customers are divided among train, dev and test.
        max_turns: turns of the agent, after which the line goes dead.
        max_tokens: a good limit for one reply.
    """

    name: str
    policy: Path
    customers: Path
    customer: str
    judge: str
    shares: Shares = Shares(train=0.5, dev=0.2, test=0.3)
    max_turns: PositiveInt = 10
    max_tokens: PositiveInt = 512


def load_dialogues(spec: str) -> Task:
    """Return the task of `dialogue:FILE.toml?train=40&dev=20&test=40`.

    Raises:
        SettingsError: the file cannot work.
        TaskError: policy or customers cannot work.
    """
    parsed = TaskSpec.parse(spec)
    sizes = parsed.read_options(Sizes)
    path = Path(parsed.path)
    settings = read_settings(DialogueFile, read_document(path))
    try:
        policy = (path.parent / settings.policy).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: policy: {settings.policy} cannot be read as text: {error}") from error
    examples = made_of(read_rows(path.parent / settings.customers), partial(_customer, policy))
    splits = split_by_hash(examples, settings.shares.model_dump())
    return Task(
        name=settings.name,
        splits={split: sizes.draw(spec, split, list(some)) for split, some in splits.items()},
        template=PromptTemplate(user="{opening}", system="{policy}"),
        scorer=None,
        environment=SimulatedCustomers(
            policy, {"customer": settings.customer, "judge": settings.judge}, settings.max_turns
        ),
        max_tokens=settings.max_tokens,
    )


def _customer(policy: str, row: Row) -> Example:
    opening = row.values.get("opening")
    if not isinstance(opening, str) or not opening.strip():
        raise TaskError(f"{row.source}: opening: is missing; it is the customer's first message")
    secret = {key: value for key, value in row.values.items() if key != "opening"}
    return Example({"policy": policy, "opening": opening}, target=secret, source=row.source)


@dataclass(frozen=True)
class SimulatedCustomers:
    """An environment whose customers and judge are models.

    Attributes:
        policy: the agent's instructions.
        models: name of the model of each role.
        max_turns: turns of the agent.
        opened: models that are open already, such as those that record their calls; others are opened when needed.
    """

    policy: str
    models: Mapping[str, str]
    max_turns: int
    opened: Mapping[str, ChatModel] | None = None

    def with_models(self, models: Mapping[str, ChatModel]) -> Self:
        """Return the environment with open models for its roles."""
        return replace(self, opened=models)

    def __call__(self, example: Example, question: Question) -> "SimulatedDialogue":
        """Open a dialogue."""
        models = self.opened or {role: resolve(name) for role, name in self.models.items()}
        return SimulatedDialogue(self.policy, models, self.max_turns, example.target, question)

    def fingerprint(self) -> dict[str, Any]:
        """Return version, models and limit."""
        return {"kind": "customers", "version": VERSION, "models": dict(self.models), "max_turns": self.max_turns}


class Verdict(BaseModel):
    """What the judge says of a dialogue."""

    model_config = ConfigDict(extra="ignore")

    success: bool
    satisfaction: float = Field(ge=1, le=5)
    violations: list[str] = Field(default_factory=list)
    customer_fault: bool = False


class SimulatedDialogue:
    """One dialogue; what the customer keeps to itself stays inside."""

    def __init__(
        self,
        policy: str,
        models: Mapping[str, ChatModel],
        max_turns: int,
        secret: Mapping[str, Any],
        question: Question,
    ) -> None:
        self._policy, self._models, self._max_turns = policy, models, max_turns
        self._secret = "\n".join(f"- {key}: {value}" for key, value in secret.items())
        self._messages = question.messages
        self._turns = 0
        self._left = False
        self._failure: Failure | None = None
        self.question = question

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return self._messages

    @property
    def done(self) -> bool:
        """True once the customer has left, the turns are used up, or a call failed."""
        return self._left or self._turns >= self._max_turns or self._failure is not None

    def step(self, completion: Completion) -> None:
        """Take the agent's turn, and let the customer answer."""
        if completion.failure is not None:
            self._failure = completion.failure
            return
        self._turns += 1
        self._messages = (*self._messages, completion.message())
        answer = self._ask("customer", self._as_customer(), SPEECH_TOKENS)
        if answer.failure is not None:
            self._failure = answer.failure
            return
        written = _THINKING.sub("", answer.text)
        self._left = DONE in written  # wherever it stands: also at the end of what is labelled as a thought
        said = _without_thoughts(written).replace(DONE, "").strip()
        if not said and not self._left:
            self._failure = Failure("empty", "the customer thought, and said nothing")
            return
        self._messages = (*self._messages, user(said or "bye."))

    def score(self) -> Score:
        """Ask the judge; a judge that says nothing readable is a failed call, never a bad dialogue."""
        if self._failure is not None:
            return failed(self._failure)
        told = system_message(_JUDGE.format(policy=self._policy, secret=self._secret))
        names = {"user": "customer", "assistant": "agent"}
        talk = "\n".join(f"{names[m.role]}: {m.content}" for m in self._messages if m.role in names)
        answer = self._ask("judge", (told, user(talk)), VERDICT_TOKENS)
        if answer.failure is not None:
            return failed(answer.failure)
        try:
            verdict = Verdict.model_validate(find_json(answer.text))
        except (ValueError, ValidationError) as error:
            return failed(Failure("server", f"the judge gave no verdict: {error}"))
        worth = _WORTH_OF_SUCCESS * verdict.success + (1 - _WORTH_OF_SUCCESS) * (verdict.satisfaction - 1) / 4
        return graded(
            max(0.0, worth - _VIOLATION * len(verdict.violations)),
            "; ".join(verdict.violations),
            success=verdict.success,
            satisfaction=verdict.satisfaction,
            violations=len(verdict.violations),
            violated=verdict.violations,
            turns=self._turns,
            simulator_fault=verdict.customer_fault,
        )

    def _as_customer(self) -> tuple[Message, ...]:
        """Return the dialogue from the other side: the agent's words are what the customer is told."""
        turned = [
            assistant(message.content) if message.role == "user" else user(message.content)
            for message in self._messages
            if message.role in ("user", "assistant")
        ]
        # A conversation begins with the user in most chat templates.
        return (
            system_message(_CUSTOMER.format(secret=self._secret, done=DONE)),
            user("Hello, how can I help?"),
            *turned,
        )

    def _ask(self, role: str, messages: tuple[Message, ...], max_tokens: int) -> Completion:
        (answer,) = complete(self._models[role], [Request(messages, Sampling(max_tokens=max_tokens))])
        return answer


_THINKING = re.compile(r"(?is)<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)")
_LABEL = r"^[\s*_]*(?:{})[*_]*\s*:[*_]*"
_THOUGHT = _LABEL.format("thoughts?|thinking|reasoning")
_SPEECH = _LABEL.format(r"(?:(?:customer|user)(?:'s)? +)?(?:customer|user|response|reply|message)")


def _without_thoughts(text: str) -> str:
    """Return what a customer says without what it thinks, should it write that down against its instructions.

    A thought ends where a label says that the customer speaks; without one, with its paragraph.
    """
    said = re.sub(rf"(?ims){_THOUGHT}(?:.*?(?={_SPEECH})|.*?(?:\n\s*\n|\Z))", "", text)
    return re.sub(rf"(?im){_SPEECH}\s*", "", said).strip()
