"""Everything that can be checked before a run, each finding with its remedy."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from fulcrum.calls.ledger import is_local
from fulcrum.chat import ChatModel, Completion, Failure, Request, Sampling, complete, resolve
from fulcrum.errors import FulcrumError, MissingExtra, ModelError
from fulcrum.recipe import JUDGE, Recipe
from fulcrum.runs.plan import free_memory, some_questions, weight_bytes
from fulcrum.task import SPLITS, Task
from fulcrum.task.scorers import JudgeScorer
from fulcrum.task.validate import gaps, proved, unchecked, validate

Level = Literal["good", "warning", "bad"]

_DRAWS = 4
_LITTLE_DISK = 2 * 2**30
_REMEDIES: Mapping[int, str] = {
    401: "put the key into OPENAI_API_KEY, or into another variable and name it: URL?key_env=NAME#MODEL",
    403: "take a key that may use this model",
    404: "correct the name: an address that ends in /v1, and after # the model as the server calls it",
    429: "wait, or ask for a larger quota; `?concurrency=1` asks one at a time",
}
"""What to do by the status that a server answers with."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        level: `good`, `warning` (the run works, but less well than it could) or `bad` (it cannot work).
        what: what was found.
        remedy: what to do; empty if all is well.
    """

    level: Level
    what: str
    remedy: str = ""


@runtime_checkable
class Endpoint(Protocol):
    """A model that can be asked whether it is there."""

    @property
    def name(self) -> str:
        """The name in the recipe."""
        ...

    def ping(self) -> Failure | None:
        """Return why it cannot be used, or None."""
        ...


@runtime_checkable
class Templated(Protocol):
    """A model whose chat template can be looked at."""

    @property
    def name(self) -> str:
        """The name in the recipe."""
        ...

    def template_faults(self) -> list[str]:
        """Return what is wrong with the template."""
        ...


def examine(recipe: Recipe) -> Iterator[Finding]:
    """Yield findings as they are made: machine, task, then every model with a handful of short calls."""
    yield from _machine(recipe)
    try:
        yield from _task(recipe)
    except FulcrumError as error:
        yield Finding(
            "bad", f"task {recipe.keys.task}: {error}", "mend the task first; `fulcrum validate` checks it alone"
        )
        return
    for name in dict.fromkeys(recipe.asked.values()):
        roles = [role for role, model in recipe.asked.items() if model == name]
        yield from _model(recipe, name, roles)


def _machine(recipe: Recipe) -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    said = f"disk: {free / 2**30:.1f} GiB free here"
    yield (
        Finding("warning", said, "free some, or give --output on another disk")
        if free < _LITTLE_DISK
        else Finding("good", said)
    )
    sizes = {name: size for name in dict.fromkeys(recipe.models.values()) if (size := weight_bytes(name))}
    memory = free_memory()
    if sizes and memory is not None:
        said = (
            f"memory: weights take {sum(sizes.values()) / 2**30:.2f} GiB in float32, {memory / 2**30:.1f} GiB are free"
        )
        remedy = "use smaller models, or serve the large one with vLLM and name its endpoint"
        yield Finding("bad", said, remedy) if sum(sizes.values()) > memory else Finding("good", said)


def _task(recipe: Recipe) -> Iterator[Finding]:
    task = recipe.task
    sizes = ", ".join(f"{len(task.splits.get(split, ()))} {split}" for split in SPLITS)
    yield Finding("good", f"task {task.name}: {sizes}")
    for gap in gaps(task):
        yield Finding("warning", f"task {task.name}: {gap}", "give more examples, or other shares of the splits")
    if problems := validate(task):
        said = f"task {task.name}: {len(problems)} examples cannot be solved, the first: {problems[0]}"
        yield Finding("bad", said, "mend the data or the scorer; `fulcrum validate` names them all")
    elif left_open := unchecked(task):
        yield Finding("warning", f"task {task.name}: {left_open}", "try the task on a model that you trust first")
    else:
        yield Finding("good", proved(task))


def _model(recipe: Recipe, name: str, roles: list[str]) -> Iterator[Finding]:
    trained = [role for role in roles if role in recipe.method.roles and recipe.method.roles[role].trained]
    if trained and not is_local(name):
        yield Finding(
            "bad",
            f"{name}: role {trained[0]} is trained, and an endpoint's weights cannot be",
            f"name a local model for it: --models.{trained[0]} hf:PATH",
        )
    try:
        model = resolve(name)
    except (ModelError, MissingExtra) as error:
        yield Finding("bad", f"{name}: {error}", f"mend {_where(recipe, roles[0])}")
        return
    try:
        reached = list(_reachable(model))
        yield from reached
        dead = isinstance(model, Endpoint) and reached[0].level == "bad"
        if not dead:  # a call to a dead endpoint would only be tried again and again
            yield from _answers(recipe, model)
            scorer = recipe.task.scorer
            if isinstance(scorer, JudgeScorer) and scorer.model == name:
                yield from _verdict(recipe.task, scorer, model)
    except ModelError as error:
        yield Finding("bad", f"{name}: {error}", f"mend {_where(recipe, roles[0])}")
    finally:
        model.close()


def _where(recipe: Recipe, role: str) -> str:
    if role in recipe.models:
        return f"models.{role}"
    return "the scorer's model in the task file" if role == JUDGE else f"the {role}"


def _reachable(model: ChatModel) -> Iterator[Finding]:
    """Ask an endpoint which models it has, or a local model for the faults of its template."""
    if isinstance(model, Endpoint):
        failure = model.ping()
        if failure is None:
            yield Finding("good", f"{model.name}: reachable, and it lists the model")
        elif failure.detail.startswith("HTTP 404"):
            yield Finding("warning", f"{model.name}: lists no models: {failure.detail}", "the trial calls tell more")
        else:
            yield Finding("bad", f"{model.name}: {failure.kind}: {failure.detail}", _remedy(failure))
    if isinstance(model, Templated):
        faults = model.template_faults()
        for fault in faults:
            yield Finding("bad", f"{model.name}: {fault}", "give the tokenizer the template of an instruction model")
        if not faults:
            yield Finding("good", f"{model.name}: the chat template has a generation prompt and a stop token")


def _answers(recipe: Recipe, model: ChatModel) -> Iterator[Finding]:
    """Make a few calls, and see whether sampling, stopping, counting and log-probabilities work."""
    question = some_questions(recipe, 1)[0]
    greedy = Request(question.messages, Sampling(max_tokens=recipe.task.max_tokens), question.tools)
    first = complete(model, [greedy])[0]
    if first.failure is not None and first.failure.kind != "truncated":
        yield Finding(
            "bad",
            f"{model.name}: a trial call failed: {first.failure.kind}: {first.failure.detail}",
            f"{_remedy(first.failure)}; nothing else can be checked until a call works",
        )
        return
    drawn = Sampling(temperature=1.0, max_tokens=recipe.task.max_tokens, seed=recipe.seed)
    draws = complete(model, [replace(greedy, sampling=drawn, sample=index) for index in range(_DRAWS)])
    yield from _stopping(recipe, model, [first, *draws])
    if complete(model, [greedy])[0].text != first.text:
        yield Finding(
            "warning",
            f"{model.name}: two greedy calls gave different texts",
            "results cannot be repeated exactly; sample each question several times",
        )
    if len({draw.text for draw in draws}) == 1:
        yield Finding(
            "warning",
            f"{model.name}: {_DRAWS} draws at temperature 1 are all the same",
            "the endpoint may ignore temperature, or the model is certain; votes and exploration need variety",
        )
    else:
        yield Finding("good", f"{model.name}: sampling is honoured")
    scored = complete(model, [replace(greedy, sampling=replace(greedy.sampling, logprobs=True))])[0]
    if scored.logprobs:
        yield Finding("good", f"{model.name}: gives log-probabilities")
    else:
        yield Finding("warning", f"{model.name}: gives no log-probabilities", "best-of-n without a judge needs them")


def _verdict(task: Task, scorer: JudgeScorer, model: ChatModel) -> Iterator[Finding]:
    """See whether a judge judges, by an answer that is the reference, or any."""
    examples = (example for split in SPLITS for example in task.splits.get(split, ()))
    example = next((one for one in examples if one.target is not None or not scorer.needs_target), None)
    if example is None:
        return
    score = scorer.with_model(model).score(example, scorer.gold(example) if scorer.needs_target else "I do not know.")
    if score.value is None:
        yield Finding(
            "bad",
            f"{model.name}: {score.feedback}",
            "raise the scorer's max_tokens, or take another judge",
        )
    else:
        yield Finding("good", f"{model.name}: gives verdicts")


def _remedy(failure: Failure) -> str:
    """Return what to do about a call that failed, by the status that the server gave."""
    for status, remedy in _REMEDIES.items():
        if failure.detail.startswith(f"HTTP {status}"):
            return remedy
    return "mend what the server says" if failure.detail.startswith("HTTP") else "start the server, or correct the name"


def _stopping(recipe: Recipe, model: ChatModel, answers: Sequence[Completion]) -> Iterator[Finding]:
    cut = sum(answer.failure is not None and answer.failure.kind == "truncated" for answer in answers)
    if cut:
        yield Finding(
            "bad" if cut == len(answers) else "warning",
            f"{model.name}: {cut} of {len(answers)} answers did not end within {recipe.task.max_tokens} tokens",
            "raise max_tokens; if no answer ever ends, the model was not trained to write its stop token",
        )
    else:
        yield Finding("good", f"{model.name}: answers, and stops by itself")
    if answers[0].usage.total == 0:
        yield Finding(
            "warning",
            f"{model.name}: does not count tokens",
            "token and money budgets cannot hold; limit calls instead",
        )
