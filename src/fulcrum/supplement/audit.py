"""What a gain is made of: are answers handed over, does the actor read them, whom would a wrong one mislead?

It looks at targets, so no solver may import it.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

from fulcrum.chat import Completion
from fulcrum.errors import RunError, TaskError
from fulcrum.evaluation.pairing import Pairing, outcomes, pair
from fulcrum.evaluation.render import percent_text
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts
from fulcrum.scripts import UNSPACED
from fulcrum.supplement.forms import NONE, read_supplement
from fulcrum.supplement.method import DOSE, EMPTIED, SHUFFLED, SUPPLEMENTED, WITHOUT_ANSWERS
from fulcrum.task import Task
from fulcrum.task.scorers import JudgeScorer, NumberScorer

Attempt = tuple[str, int, int]
"""Question, seed and sample of a rollout."""

_MANY_LEAKS = 0.1
_HARDLY_READ = 0.05
_GULLIBLE = 0.2

_NUMBER = r"(?:(?<![\w)])[-\u2212])?(?<!\w)(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
# Where words have no spaces between them each character is one.
_WORD = re.compile(rf"{_NUMBER}|[{UNSPACED}]|[^\W_{UNSPACED}]+(?:_+[^\W_{UNSPACED}]+)*|[^\w\s.,]|_")


@dataclass(frozen=True, slots=True)
class Audit:
    """What the supplements of an evaluation are and do. Shares are in 0..1, None where there is nothing to measure.

    Attributes:
        n: supplements written; silence is not one.
        known: those to questions whose final answer is known.
        forms: how many of each form, `none` included.
        leaks: share of these that hold the final answer.
        leaks_by_chance: share of these that hold the final answer of another question.
        changed: share of the actor's answers that a supplement changes, where there is one.
        changed_by_block: share of the same answers that an empty block changes.
        gain: gain of the method over the actor alone.
        gain_without_answers: its gain when `answer` and `cot` are switched off.
        harm: share of what the actor solves alone that the supplements break.
        harm_of_shuffled: the same of another question's supplements.
        harm_of_wrong_answers: the same of wrong answers in the block.
    """

    n: int
    known: int
    forms: Mapping[str, int]
    leaks: float | None
    leaks_by_chance: float | None
    changed: float | None
    changed_by_block: float | None
    gain: float | None
    gain_without_answers: float | None
    harm: float | None
    harm_of_shuffled: float | None
    harm_of_wrong_answers: float | None

    def sentences(self) -> list[str]:
        """Return the findings, the gravest first, each with what to do."""
        said: list[str] = []
        if self.leaks is not None:
            text = f"Leak: {percent_text(self.leaks)} of {self.known} supplements hold the final answer; "
            if self.leaks_by_chance is None:
                text += "how many hold it by chance is unknown, for no question has another answer."
            else:
                text += f"{percent_text(self.leaks_by_chance)} hold another question's by chance."
            if self.leaks_by_chance is not None and self.leaks - self.leaks_by_chance > _MANY_LEAKS:
                text += (
                    " The generator hands over answers: ask it alone (control `generator alone`), and look at what is "
                    f"left without {WITHOUT_ANSWERS.removeprefix('without ')}."
                )
            said.append(text)
        if self.gain is not None and self.gain_without_answers is not None:
            said.append(
                f"Without the forms answer and cot the gain is {_points(self.gain_without_answers)} instead of "
                f"{_points(self.gain)}."
            )
        if self.changed is not None:
            text = f"Use: supplements change {percent_text(self.changed)} of the answers that have one before them"
            if self.changed_by_block is not None:
                text += f", an empty block {percent_text(self.changed_by_block)}"
            if self.changed < _HARDLY_READ:
                text += ". The actor hardly reads them: use another wording, or an actor that follows its prompt"
            said.append(text + ".")
        if self.harm is not None and self.harm_of_wrong_answers is not None:
            text = (
                f"Dose: of what the actor solves alone, its supplements break {percent_text(self.harm)}, "
                f"wrong answers in the block {percent_text(self.harm_of_wrong_answers)}"
            )
            if self.harm_of_wrong_answers > _GULLIBLE:
                text += ". The actor believes what it is told: do not let others write into the block"
            said.append(text + ".")
        counted = sorted(self.forms.items(), key=lambda item: -item[1])
        said.append("Forms: " + ", ".join(f"{form} {count}" for form, count in counted) + ".")
        return said


def audit(task: Task, results: Sequence[SolverRollouts]) -> Audit:
    """Look into an evaluation of this method.

    Args:
        task: the one that was evaluated, with its targets.
        results: attempts of all solvers, as `fulcrum evaluate` wrote them.

    Raises:
        RunError: the method or its baseline is not among the results.
    """
    by_name = {result.solver: result.rollouts for result in results}
    baseline = next((result.rollouts for result in results if result.role == "baseline"), None)
    if baseline is None or SUPPLEMENTED not in by_name:
        raise RunError("there is no evaluation of supplements to look into; run `fulcrum evaluate RUN` first")
    helped = by_name[SUPPLEMENTED]
    written = [
        (rollout.question_id, read_supplement(trace["supplement"]).body)
        for rollout in helped
        for trace in rollout.traces
        if trace.get("supplement")
    ]
    forms = Counter(str(trace["form"]) for rollout in helped for trace in rollout.traces if "form" in trace)
    paired = {name: pair(outcomes(baseline), outcomes(rollouts)) for name, rollouts in by_name.items()}
    golds = _golds(task, {question_id for question_id, _ in written})
    known = [(question_id, body) for question_id, body in written if question_id in golds]
    leaks, by_chance = _leaks(task, golds, known)
    told = {_attempt(rollout) for rollout in helped if any(trace.get("supplement") for trace in rollout.traces)}
    return Audit(
        n=len(written),
        known=len(known),
        forms=dict(forms) or {NONE: 0},
        leaks=leaks,
        leaks_by_chance=by_chance,
        changed=_changed(baseline, helped, told),
        changed_by_block=_changed(baseline, by_name[EMPTIED], told) if EMPTIED in by_name else None,
        gain=_gain(paired.get(SUPPLEMENTED)),
        gain_without_answers=_gain(paired.get(WITHOUT_ANSWERS)),
        harm=_harm(paired.get(SUPPLEMENTED)),
        harm_of_shuffled=_harm(paired.get(SHUFFLED)),
        harm_of_wrong_answers=_harm(paired.get(DOSE)),
    )


def holds_answer(task: Task, question_id: str, gold: str, body: str) -> bool:
    """Return whether a text gives a question's answer away: as words in it, or as an answer that scores.

    Where answers are numbers, each number of the text is such an answer.
    """
    if f" {_words(gold)} " in f" {_words(body)} ":
        return True
    if isinstance(task.scorer, JudgeScorer):  # it would have to be paid, and reads too much goodwill into a note
        return False
    numbers = re.findall(_NUMBER, body) if isinstance(task.scorer, NumberScorer) else []
    return any(task.score(question_id, Completion(text)).solved for text in (body, *numbers))


def _golds(task: Task, asked: Set[str]) -> dict[str, str]:
    """Return the right answer to each question that has one: what a rubric or a function judges may have none."""
    golds: dict[str, str] = {}
    for example in (one for examples in task.splits.values() for one in examples if one.id in asked):
        with suppress(TaskError):
            golds[example.id] = task.gold(example)
    return golds


def _leaks(
    task: Task, golds: Mapping[str, str], written: Sequence[tuple[str, str]]
) -> tuple[float | None, float | None]:
    """Return the share of texts that hold their question's answer, and the share that hold the next one's."""
    ring = sorted(golds)
    own: list[bool] = []
    others: list[bool] = []
    for question_id, body in written:
        own.append(holds_answer(task, question_id, golds[question_id], body))
        place = ring.index(question_id)
        following = ring[place + 1 :] + ring[:place]
        other = next((one for one in following if _words(golds[one]) != _words(golds[question_id])), None)
        if other is not None:
            others.append(holds_answer(task, other, golds[other], body))
    return fmean(own) if own else None, fmean(others) if others else None


def _words(text: str) -> str:
    """Return words, numbers and the signs between them, for which a query with > is not one with <, each apart."""
    found = _WORD.finditer(unicodedata.normalize("NFC", text).casefold())
    return " ".join(one.group().replace(",", "") for one in found)


def _attempt(rollout: Rollout) -> Attempt:
    return rollout.question_id, rollout.seed, rollout.sample


def _changed(before: Sequence[Rollout], after: Sequence[Rollout], told: Set[Attempt]) -> float | None:
    """Return the share of answers that differ, among the attempts with a supplement: silence changes nothing."""
    said = {_attempt(one): one.text for one in before if one.score.verdict != "failed"}
    pairs = [
        said[key] != one.text
        for one in after
        if one.score.verdict != "failed" and (key := _attempt(one)) in said and key in told
    ]
    return fmean(pairs) if pairs else None


def _gain(pairing: Pairing | None) -> float | None:
    return pairing.difference.estimate if pairing else None


def _harm(pairing: Pairing | None) -> float | None:
    return pairing.harm.estimate if pairing and pairing.harm else None


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"
