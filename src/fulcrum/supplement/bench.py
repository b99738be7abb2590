"""Where supplements are tried: the actor on training questions, many episodes side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from fulcrum.calls import Budget
from fulcrum.chat import ChatModel, Completion, Failure, Request, Sampling, complete
from fulcrum.evaluation.rollouts import advance
from fulcrum.supplement.forms import NONE, NOTHING, Supplement
from fulcrum.supplement.trials import Trial, Written
from fulcrum.supplement.wording import When, Wording, prompt_of
from fulcrum.supplement.writer import Draft, SupplementWriter
from fulcrum.task import Episode, Score, Task, failed


@dataclass(frozen=True, slots=True)
class Wish:
    """A trial that somebody wants.

    Attributes:
        query: id of the question.
        asked: what to ask the generator for.
        sample: index that keeps repeated drafts apart.
        given: a supplement to try instead of asking, or the failure that stands in its place.
    """

    query: str
    asked: str
    sample: int = 0
    given: Supplement | Failure | None = None


@dataclass(slots=True)
class _Attempt:
    """An episode under way, on behalf of a wish."""

    wish: Wish
    draw: int
    episode: Episode
    prompt_length: int
    written: list[Written] = field(default_factory=list[Written])
    calls: int = 0
    text: str = ""
    score: Score | None = None
    failure: str | None = None

    def take_supplement(self, supplement: Supplement | Failure) -> None:
        """Note what the generator wrote; if it failed there is nothing to try, and nothing to score."""
        if isinstance(supplement, Failure):
            self.score, self.failure = failed(supplement), supplement.kind
        else:
            self.written.append(Written(self.episode.messages[self.prompt_length :], supplement))

    def take_answer(self, completion: Completion) -> None:
        """Let the episode go on; a failed call of the actor ends it."""
        self.calls += 1
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
        """Try every question without a supplement."""
        return self.play([Wish(query, NONE, given=NOTHING) for query in queries], None)

    def write(self, wishes: Sequence[Wish], writer: SupplementWriter) -> list[Wish]:
        """Return the wishes with what the generator writes for them, so that they can be chosen from.

        What is written at every turn depends on what was said before, so it cannot be written ahead.
        """
        if self.when == "turn":
            return list(wishes)
        asking = [place for place, wish in enumerate(wishes) if wish.given is None]
        drafts = [
            Draft(prompt_of(self.task.open(wish.query).messages, self.when), wish.asked, wish.sample)
            for wish in (wishes[place] for place in asking)
        ]
        found = list(wishes)
        for place, written in zip(asking, writer.write(drafts), strict=True):
            found[place] = replace(wishes[place], given=written)
        self.budget.check()
        return found

    def play(self, wishes: Sequence[Wish], writer: SupplementWriter | None) -> list[Trial]:
        """Return a trial for every wish, in order.

        Args:
            wishes: what to try.
            writer: the generator; None if every wish gives its supplement.

        Raises:
            BudgetSpent: a call was not made because the budget is used up.
            TooManyFailures: more calls failed than the budget allows.
        """
        attempts = [
            _Attempt(wish, draw, episode, len(episode.messages))
            for wish in wishes
            for draw in range(self.samples)
            for episode in [self.task.open(wish.query)]
        ]
        while waiting := [attempt for attempt in attempts if attempt.score is None]:
            silent = [attempt for attempt in waiting if self.when == "turn" or not attempt.written]
            for attempt, supplement in zip(silent, self._supplements(silent, writer), strict=True):
                attempt.take_supplement(supplement)
            self.budget.check()
            speaking = [attempt for attempt in waiting if attempt.score is None]
            completions = complete(self.actor, [self._request(attempt) for attempt in speaking])
            said = zip(speaking, completions, strict=True)
            advance(self.task, [partial(attempt.take_answer, completion) for attempt, completion in said])
            self.budget.check()
        size = self.samples
        return [_trial(attempts[start : start + size]) for start in range(0, len(attempts), size)]

    def _supplements(
        self, attempts: Sequence[_Attempt], writer: SupplementWriter | None
    ) -> Sequence[Supplement | Failure]:
        asking = [attempt for attempt in attempts if attempt.wish.given is None]
        drafts = [
            Draft(prompt_of(attempt.episode.messages, self.when), attempt.wish.asked, attempt.wish.sample)
            for attempt in asking
        ]
        written = iter(writer.write(drafts) if writer and drafts else [])
        return [attempt.wish.given or next(written) for attempt in attempts]

    def _request(self, attempt: _Attempt) -> Request:
        messages = self.wording.place(attempt.episode.messages, attempt.written[-1].supplement, self.when)
        return Request(messages, self.sampling, attempt.episode.question.tools, attempt.draw)


def _trial(attempts: Sequence[_Attempt]) -> Trial:
    """Return all draws of one wish as a trial."""
    first = attempts[0]
    scores = [attempt.score for attempt in attempts if attempt.score is not None]
    return Trial(
        query=first.wish.query,
        asked=first.wish.asked,
        written=tuple(first.written),
        values=tuple(score.value for score in scores),
        verdicts=tuple(score.verdict for score in scores),
        answers=tuple(attempt.text for attempt in attempts),
        calls=sum(attempt.calls for attempt in attempts),
        failure=first.failure,
    )
