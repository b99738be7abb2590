"""Where supplements are tried: the actor on training questions, many episodes side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from fulcrum.calls import Budget
from fulcrum.chat import ChatModel, Completion, Failure, Message, Request, Sampling, complete
from fulcrum.evaluation.rollouts import advance
from fulcrum.supplement.forms import NONE, NOTHING, Supplement
from fulcrum.supplement.trials import State, Trial, Written
from fulcrum.supplement.wording import When, Wording, prompt_of
from fulcrum.supplement.writer import Draft, SupplementWriter
from fulcrum.task import Episode, Score, Task, failed


@dataclass(frozen=True, slots=True)
class Wish:
    """A trial that somebody wants.

    Attributes:
        state: what the supplement is for.
        asked: what to ask the generator for.
        sample: index that keeps repeated drafts apart.
        given: the supplement to try, or the failure that stands in its place; None until it is written.
    """

    state: State
    asked: str
    sample: int = 0
    given: Supplement | Failure | None = None


@dataclass(slots=True)
class _Attempt:
    """An episode under way, on behalf of a wish; `seen` is what had been said before each answer."""

    wish: Wish
    draw: int
    episode: Episode
    prompt_length: int
    seen: list[tuple[Message, ...]] = field(default_factory=list[tuple[Message, ...]])
    calls: int = 0
    text: str = ""
    score: Score | None = None

    @property
    def since(self) -> tuple[Message, ...]:
        """What has been said since the question's prompt."""
        return self.episode.messages[self.prompt_length :]

    def take_answer(self, completion: Completion) -> None:
        """Let the episode go on; a failed call of the actor ends it. What was said before the note is known."""
        self.calls += len(self.since) >= len(self.wish.state[1])
        self.text = completion.text
        if completion.failure is not None:
            self.score = failed(completion.failure)
            return
        self.episode.step(completion)
        if self.episode.done:
            self.score = self.episode.score()


@dataclass(frozen=True)
class Bench:
    """The actor, ready to try supplements.

    Attributes:
        task: whose questions.
        actor: who answers them.
        sampling: of the actor while it labels.
        samples: answers behind each label.
        wording: how a supplement stands in the prompt.
        when: once, or at every turn.
        budget: checked after every step.
    """

    task: Task
    actor: ChatModel
    sampling: Sampling
    samples: int
    wording: Wording
    when: When
    budget: Budget

    def alone(self, queries: Sequence[str]) -> list[Trial]:
        """Try every question without a supplement; each trial holds the states in which one could have been written."""
        played = self._play([Wish((query, ()), NONE, given=NOTHING) for query in queries])
        states = None if self.when == "turn" else 1
        return [_trial(draws, [Written(since, NOTHING) for since in draws[0].seen[:states]]) for draws in played]

    def write(self, wishes: Sequence[Wish], writer: SupplementWriter) -> list[Wish]:
        """Return the wishes with what the generator writes for them, so that they can be chosen from."""
        asking = [place for place, wish in enumerate(wishes) if wish.given is None]
        drafts = [
            Draft(prompt_of((*self.task.open(query).messages, *since), self.when), wish.asked, wish.sample)
            for wish in (wishes[place] for place in asking)
            for query, since in [wish.state]
        ]
        found = list(wishes)
        for place, written in zip(asking, writer.write(drafts), strict=True):
            found[place] = replace(wishes[place], given=written)
        self.budget.check()
        return found

    def play(self, wishes: Sequence[Wish]) -> list[Trial]:
        """Return a trial for every wish, in order, with what it gives: nothing if the generator failed.

        With `when = "turn"` the actor is helped in the wish's state and in no other, so that what the dialogue is worth
        tells about that one supplement. Up to there it is the dialogue without help, whose calls are stored.

        Raises:
            BudgetSpent: a call was not made because the budget is used up.
            TooManyFailures: more calls failed than the budget allows.
        """
        return [
            _trial(draws, [Written(wish.state[1], wish.given)] if isinstance(wish.given, Supplement) else [])
            for wish, draws in zip(wishes, self._play(wishes), strict=True)
        ]

    def _play(self, wishes: Sequence[Wish]) -> list[list[_Attempt]]:
        attempts = [
            _Attempt(wish, draw, episode, len(episode.messages), score=_without_note(wish))
            for wish in wishes
            for draw in range(self.samples)
            for episode in [self.task.open(wish.state[0])]
        ]
        while speaking := [attempt for attempt in attempts if attempt.score is None]:
            for attempt in speaking:
                attempt.seen.append(attempt.since)
            completions = complete(self.actor, [self._request(attempt) for attempt in speaking])
            said = zip(speaking, completions, strict=True)
            advance(self.task, [partial(attempt.take_answer, completion) for attempt, completion in said])
            self.budget.check()
        size = self.samples
        return [attempts[start : start + size] for start in range(0, len(attempts), size)]

    def _request(self, attempt: _Attempt) -> Request:
        messages, note = attempt.episode.messages, attempt.wish.given
        here = self.when == "start" or len(attempt.since) == len(attempt.wish.state[1])
        if here and isinstance(note, Supplement):
            messages = self.wording.place(messages, note, self.when)
        return Request(messages, self.sampling, attempt.episode.question.tools, attempt.draw)


def _without_note(wish: Wish) -> Score | None:
    """Return the score of a wish whose generator failed: there is nothing to try, and nothing to score."""
    return failed(wish.given) if isinstance(wish.given, Failure) else None


def _trial(attempts: Sequence[_Attempt], written: Sequence[Written]) -> Trial:
    """Return all draws of one wish as a trial."""
    wish = attempts[0].wish
    scores = [attempt.score for attempt in attempts if attempt.score is not None]
    return Trial(
        query=wish.state[0],
        asked=wish.asked,
        written=tuple(written),
        values=tuple(score.value for score in scores),
        verdicts=tuple(score.verdict for score in scores),
        answers=tuple(attempt.text for attempt in attempts),
        calls=sum(attempt.calls for attempt in attempts),
        failure=wish.given.kind if isinstance(wish.given, Failure) else None,
    )
