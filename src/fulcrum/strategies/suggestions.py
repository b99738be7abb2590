"""What a teacher suggests in one round: read, put together where it is the same, and given a scenario."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fulcrum.chat import FailureKind, Message, Request, Sampling, complete
from fulcrum.errors import LibraryError
from fulcrum.strategies.bench import Bench
from fulcrum.strategies.dialogue import Compared, State
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.judging import Preference, shown
from fulcrum.strategies.records import Advice, Evidence, said
from fulcrum.strategies.wording import Wording
from fulcrum.strategies.words import (
    ALTERNATIVE,
    EVERYWHERE,
    extends,
    negations,
    numbers,
    overlap,
    telling_places,
    telling_words,
    words,
)

STRATEGY_TOKENS = 512
"""Limit of what the teacher writes of one turn."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A strategy that the teacher wrote at one turn.

    Attributes:
        advice: what it says.
        case: the turn, with both replies.
        preference: how they compared.
        prompt: what the teacher was asked.
    """

    advice: Advice
    case: Compared
    preference: Preference
    prompt: tuple[Message, ...]

    def evidence(self, models: dict[str, str]) -> Evidence:
        """Return what the strategy was learned from."""
        return Evidence(
            dialogue=self.case.state.question.id,
            turn=self.case.state.turn,
            messages=said(self.case.state.messages),
            student=shown(self.case.student),
            teacher=shown(self.case.teacher),
            verdict=self.preference.words,
            models=models,
            prompt=said(self.prompt),
        )


@dataclass(slots=True)
class Group:
    """Suggestions that say the same, the first one first."""

    suggestions: list[Suggestion] = field(default_factory=list[Suggestion])

    @property
    def advice(self) -> Advice:
        """The words used most often, the earliest of equal ones."""
        counts = Counter(suggestion.advice.guidance for suggestion in self.suggestions)
        common = counts.most_common(1)[0][0]
        return next(one.advice for one in self.suggestions if one.advice.guidance == common)

    @property
    def first(self) -> Suggestion:
        """The first suggestion with those words."""
        return next(one for one in self.suggestions if one.advice == self.advice)

    @property
    def states(self) -> list[State]:
        """The turns at which it was suggested."""
        return list({one.case.state.key: one.case.state for one in self.suggestions}.values())

    @property
    def variants(self) -> list[Suggestion]:
        """One suggestion for each other wording."""
        return list({one.advice.id: one for one in self.suggestions if one.advice.id != self.advice.id}.values())


@dataclass(slots=True)
class Asked:
    """What came of asking the teacher.

    Attributes:
        suggestions: what it wrote.
        unreadable: how many of its answers, or of the strategies in one, could not be read.
        heard: how many of its answers could be read, those included that name no difference.
        failures: how calls failed.
        known: of what people brought, where that stands which a strategy says already, or said first, and its id.
    """

    suggestions: list[Suggestion] = field(default_factory=list[Suggestion])
    unreadable: int = 0
    heard: int = 0
    failures: list[FailureKind] = field(default_factory=list[FailureKind])
    known: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def failed(self) -> int:
        """How many calls failed."""
        return len(self.failures)


def ask_teacher(bench: Bench, judged: Sequence[tuple[Compared, Preference]]) -> Asked:
    """Let the teacher write what the student lacks at each of these turns.

    Raises:
        BudgetSpent: a call was not made.
    """
    wording = bench.wording
    prompts = [wording.ask(case.state.messages, shown(case.teacher), shown(case.student)) for case, _ in judged]
    sampling = Sampling(max_tokens=STRATEGY_TOKENS)
    answers = complete(bench.teacher_model, [Request(prompt, sampling) for prompt in prompts])
    bench.check()
    asked = Asked()
    for (case, preference), prompt, answer in zip(judged, prompts, answers, strict=True):
        if answer.failure is not None:
            asked.failures.append(answer.failure.kind)
            continue
        try:
            advised = wording.read(answer.text)
        except LibraryError:
            asked.unreadable += 1
            continue
        asked.suggestions += [Suggestion(advice, case, preference, prompt) for advice in advised if advice is not None]
        asked.unreadable += sum(advice is None for advice in advised)
        asked.heard += not advised or any(advice is not None for advice in advised)
    return asked


def group(suggestions: Sequence[Suggestion], duplicate: float) -> list[Group]:
    """Put together suggestions that share at least `duplicate` of their words, those made most often first."""
    groups: list[Group] = []
    for suggestion in suggestions:
        same = next((one for one in groups if alike(one.advice, suggestion.advice, duplicate)), None)
        if same is None:
            groups.append(same := Group())
        same.suggestions.append(suggestion)
    return sorted(groups, key=lambda one: -len(one.suggestions))


def known(advice: Advice, strategies: Sequence[Strategy], duplicate: float) -> Strategy | None:
    """Return the strategy of the library that says the same, if there is one."""
    return next((strategy for strategy in strategies if alike(strategy.advice, advice, duplicate)), None)


def alike(one: Advice, other: Advice, duplicate: float) -> bool:
    """Return whether two pieces of advice tell the student the same, wherever they apply."""
    return _same(one.guidance, other.guidance, duplicate)


def covers(wide: str, narrow: str, duplicate: float) -> bool:
    """Return whether each situation of the narrow scenario stands in the wide one too."""
    situations = wide.split(ALTERNATIVE)
    return EVERYWHERE in situations or all(
        any(_same(situation, one, duplicate) for situation in situations) for one in narrow.split(ALTERNATIVE)
    )


def _same(first: str, second: str, duplicate: float) -> bool:
    """Return whether two texts say the same in so many of the same words.

    A number or a `not` is never a small matter. Of the words that negate only those of English are known; so where one
    text is the other with something put in, in whatever language, they are not the same either.
    """
    if first == second:
        return True
    same_sense = numbers(first) == numbers(second) and negations(first) == negations(second)
    return same_sense and not extends(first, second) and overlap(first, second) >= duplicate


def scenario_of(states: Sequence[State], everywhere: Sequence[State], wording: Wording) -> str:
    """Return the places, or else the words, by which these situations are known; empty if nothing sets them apart.

    They are alternatives. Of each dialogue one turn counts: several share its words, which would seem to be no chance.
    """
    first = {state.question.id: state for state in reversed(states)}
    inside = [wording.situation(state.messages) for state in first.values()]
    every = [wording.situation(state.messages) for state in everywhere]
    places = telling_places([one.place for one in inside], [one.place for one in every])
    told = places or telling_words([words(one.words) for one in inside], [words(one.words) for one in every])
    return ALTERNATIVE.join(told)


def located(advice: Advice, states: Sequence[State], everywhere: Sequence[State], wording: Wording) -> Advice:
    """Return advice with the scenario read off the turns where it was suggested.

    Advice that was suggested everywhere alike is general, and applies at every turn.
    """
    scenario = scenario_of(states, everywhere, wording)
    if not scenario:
        return advice.model_copy(update={"scenario": EVERYWHERE, "level": "general"})
    return advice.model_copy(update={"scenario": scenario, "level": "specific"})
