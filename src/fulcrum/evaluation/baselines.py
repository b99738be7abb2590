"""What a method must beat: asking once, showing examples, voting, and choosing the best of several draws.

Baselines that call the model several times are fair at equal cost only: see `samples_at_equal_calls`. The *oracle*
best-of-n (right if any draw is right) needs the targets, so no solver can be it: `fulcrum.evaluation.pairing.pass_at`
computes it from the scored draws of `Direct`.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from fulcrum.chat import ChatModel, Completion, Failure, Sampling, assistant
from fulcrum.errors import ModelError, SettingsError, TaskError
from fulcrum.evaluation.solver import Answer, Turn, draw, failure_to_pass_on
from fulcrum.hashing import canonical_json, seed_from
from fulcrum.task import Question, Task

Selector = Callable[[Sequence[Turn], Sequence[Sequence[Completion]]], list[int | Failure]]
"""Chooses one of each turn's usable candidates by its index, or passes on the failure of whoever should choose."""


class Direct:
    """The model alone, asked once."""

    def __init__(self, model: ChatModel, sampling: Sampling, *, name: str = "direct") -> None:
        self.name = name
        self._model = model
        self._sampling = sampling

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn with one call."""
        return [Answer(completion) for (completion,) in draw(self._model, turns, self._sampling, 1)]


class FewShot:
    """The model with solved examples shown as earlier turns of the conversation.

    Args:
        model: who answers.
        demonstrations: questions of the *train* split with their gold answers, see `draw_demonstrations`.
        sampling: how to draw the answer.
        name: by default `few-shot@k`.
    """

    def __init__(
        self,
        model: ChatModel,
        demonstrations: Sequence[tuple[Question, str]],
        sampling: Sampling,
        *,
        name: str | None = None,
    ) -> None:
        self.name = name or f"few-shot@{len(demonstrations)}"
        self._direct = Direct(model, sampling)
        self._shown = {
            question.id: (*(message for message in question.messages if message.role != "system"), assistant(gold))
            for question, gold in demonstrations
        }

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn; a system message stays first, the demonstrations follow it.

        A question that is itself among the demonstrations, as can be in the train split, is not shown its own answer.
        """
        return self._direct.answer([self._with_demonstrations(turn) for turn in turns])

    def _with_demonstrations(self, turn: Turn) -> Turn:
        system = tuple(message for message in turn.messages[:1] if message.role == "system")
        others = (shown for question_id, shown in self._shown.items() if question_id != turn.question.id)
        return replace(turn, messages=(*system, *chain.from_iterable(others), *turn.messages[len(system) :]))


def draw_demonstrations(task: Task, k: int, seed: int = 0) -> list[tuple[Question, str]]:
    """Return `k` questions of the train split with their gold answers, drawn and ordered by `seed`.

    Raises:
        TaskError: the train split has fewer than `k` examples with a target, or the task has no gold answers.
    """
    unlabelled = {example.id for example in task.unlabelled("train")}
    examples = [example for example in task.examples("train") if example.id not in unlabelled]
    if k > len(examples):
        raise TaskError(f"{task.name}: {k} demonstrations asked for, the train split has {len(examples)} examples")
    chosen = random.Random(seed_from(seed, "demonstrations")).sample(examples, k)
    return [(task.question(example), task.gold(example)) for example in chosen]


class SelfConsistency:
    """The majority of several draws (Wang et al. 2022, arXiv 2203.11171).

    A draw votes for its answer key. Failed draws do not vote, nor do those without a key; if no draw has a key the
    first usable text is the answer, if every draw failed the failure is.

    Args:
        model: who answers.
        n: draws a turn.
        sampling: how to draw them; needs a temperature.
        answer_key: finds the final answer in a text, such as the `answer_key` of the task's scorer. Equal tool calls
            vote together without it.
        name: by default `self-consistency@n`.

    Raises:
        SettingsError: all draws would be the same.
    """

    def __init__(
        self,
        model: ChatModel,
        n: int,
        sampling: Sampling,
        answer_key: Callable[[str], str | None],
        *,
        name: str | None = None,
    ) -> None:
        self.name = name or f"self-consistency@{n}"
        _refuse_equal_draws(self.name, n, sampling)
        self._model = model
        self._n = n
        self._sampling = sampling
        self._answer_key = answer_key

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn with the first draw that says what most draws say."""
        drawn = draw(self._model, turns, self._sampling, self._n)
        return [self._vote(turn, completions) for turn, completions in zip(turns, drawn, strict=True)]

    def _vote(self, turn: Turn, completions: Sequence[Completion]) -> Answer:
        if failure := failure_to_pass_on(completions):
            return Answer(failure, {"votes": {}, "failures": _failures(completions)})
        usable = [completion for completion in completions if completion.ok]
        keys = [self._key(completion) for completion in usable]
        winner = majority(keys, seed_from(self._sampling.seed, turn.question.id, turn.sample))
        trace = {"votes": dict(Counter(key for key in keys if key is not None)), "failures": _failures(completions)}
        # Without any key the winner is None, and so is the first key.
        return Answer(usable[keys.index(winner)], trace)

    def _key(self, completion: Completion) -> str | None:
        if completion.tool_calls:
            return canonical_json([[call.name, call.arguments] for call in completion.tool_calls])
        return self._answer_key(completion.text)


def majority(keys: Sequence[str | None], seed: int) -> str | None:
    """Return the most frequent key; None does not vote, a tie is broken by `seed`. None if nobody votes."""
    votes = Counter(key for key in keys if key is not None)
    if not votes:
        return None
    most = max(votes.values())
    return random.Random(seed).choice([key for key, count in votes.items() if count == most])


class BestOfN:
    """The best of several draws, as a selector sees it.

    Args:
        model: who answers.
        n: draws a turn.
        sampling: how to draw them; needs a temperature.
        select: chooses, for instance by a judge or a reward model. It sees what a deployed system would see, never
            the target. By default the draw whose tokens have the highest mean log-probability is chosen.
        name: by default `best-of-n@n`.

    Raises:
        SettingsError: all draws would be the same.
    """

    def __init__(
        self,
        model: ChatModel,
        n: int,
        sampling: Sampling,
        select: Selector | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self.name = name or f"best-of-n@{n}"
        _refuse_equal_draws(self.name, n, sampling)
        self._model = model
        self._n = n
        self._sampling = sampling if select else replace(sampling, logprobs=True)
        self._select = select or most_probable

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn with the chosen draw; failed draws cannot be chosen."""
        drawn = draw(self._model, turns, self._sampling, self._n)
        answers: dict[int, Answer] = {}
        candidates: dict[int, list[Completion]] = {}
        for index, completions in enumerate(drawn):
            if failure := failure_to_pass_on(completions):
                answers[index] = Answer(failure, {"failures": _failures(completions)})
            else:
                candidates[index] = [completion for completion in completions if completion.ok]
        choices = self._select([turns[index] for index in candidates], list(candidates.values()))
        for (index, usable), choice in zip(candidates.items(), choices, strict=True):
            trace = {"candidates": [c.text for c in usable], "failures": _failures(drawn[index])}
            if isinstance(choice, Failure):
                answers[index] = Answer(Completion.failed(choice.kind, f"selector: {choice.detail}"), trace)
            else:
                answers[index] = Answer(usable[choice], {**trace, "chosen": choice})
        return [answers[index] for index in range(len(turns))]


def most_probable(turns: Sequence[Turn], candidates: Sequence[Sequence[Completion]]) -> list[int | Failure]:
    """Choose the candidate with the highest mean token log-probability; the first of equal ones.

    Raises:
        ModelError: the model gives no log-probabilities.
    """
    del turns  # the text alone decides
    return [max(range(len(texts)), key=[_mean_log_probability(c) for c in texts].__getitem__) for texts in candidates]


def _mean_log_probability(completion: Completion) -> float:
    if not completion.logprobs:
        raise ModelError(
            f"best-of-n: {completion.model or 'the model'} gives no log-probabilities to choose by; "
            "give a selector, such as a judge, or use self-consistency"
        )
    return math.fsum(completion.logprobs) / len(completion.logprobs)


def samples_at_equal_calls(calls: int, attempts: int) -> int:
    """Return the n at which self-consistency or best-of-n costs at least as many calls as a method does.

    Args:
        calls: calls that the method made, stored answers included.
        attempts: attempts that it answered with them.

    Rounded up, so that the baseline never has fewer.
    """
    return max(1, math.ceil(calls / attempts))


def _refuse_equal_draws(name: str, n: int, sampling: Sampling) -> None:
    if n < 1:
        raise SettingsError(f"{name}: n must be at least 1")
    if n > 1 and sampling.temperature == 0:
        raise SettingsError(f"{name}: at temperature 0 all {n} draws are the same; set a temperature above 0")


def _failures(completions: Sequence[Completion]) -> dict[str, int]:
    return dict(Counter(completion.failure.kind for completion in completions if completion.failure is not None))
