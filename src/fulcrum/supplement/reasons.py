"""Why there is nothing to learn from, in a sentence that says what to do."""

from collections import Counter
from collections.abc import Mapping, Sequence

from fulcrum.supplement.forms import NONE
from fulcrum.supplement.labels import Alone, Rule
from fulcrum.supplement.trials import Trial

_IGNORED = 0.98
"""From this share of unchanged answers on, the actor does not read the block."""


def hopeless(alone: Alone, trials: Sequence[Trial]) -> str | None:
    """Return why the actor's answers without help leave nothing to learn, before any supplement is paid for.

    Args:
        alone: scores of the actor alone.
        trials: the attempts behind them.
    """
    if not alone:
        return (
            f"none of the {len(trials)} training questions has an answer of the actor alone that can be judged "
            f"({_failures(trials)}), so there is nothing to compare supplements with: run `fulcrum doctor` on the "
            "recipe"
        )
    if all(value >= 1.0 for value in alone.values()):
        return (
            f"the actor alone already solves all {len(alone)} training questions, so no supplement can help: use "
            "harder questions, or a weaker actor"
        )
    return None


def nothing_to_learn(rule: Rule, alone: Alone, trials: Sequence[Trial], unhelped: Mapping[str, Sequence[str]]) -> str:
    """Return why no supplement is better than another.

    Args:
        rule: what counts as help.
        alone: scores of the actor alone.
        trials: supplements tried.
        unhelped: the actor's answers without help, by question.
    """
    tried = [trial for trial in trials if trial.labels and any(one.supplement.form != NONE for one in trial.written)]
    if not tried:
        silent = sum(any(one.supplement.form == NONE for one in trial.written) for trial in trials)
        if silent:
            return (
                f"the generator wrote nothing in {silent} of {len(trials)} drafts and nothing usable in the others "
                f"({_failures(trials)}): raise temperature, or use a generator that can follow the request"
            )
        return (
            f"none of {len(trials)} supplements led to an answer that could be scored ({_failures(trials)}): "
            "truncated supplements want a higher max_tokens, other failures a look with `fulcrum doctor`"
        )
    questions = len({trial.query for trial in tried})
    same = sum(_whole(trial) and trial.answers[0] in unhelped.get(trial.query, ()) for trial in tried)
    if same >= _IGNORED * len(tried):
        return (
            f"the actor says word for word what it says alone in {same} of {len(tried)} trials, so it ignores the "
            "supplement's block: use another wording, an actor that follows its prompt, or a generator that writes to "
            "the point"
        )
    if all(value >= 1.0 for trial in tried for value in trial.labels):
        return (
            f"every answer was right, with all {len(tried)} supplements on {questions} questions: there is nothing "
            "left to prefer; use harder questions"
        )
    if not any(_better(rule, value, alone[trial.query]) for trial in tried for value in trial.labels):
        graded = rule.labels == "uplift" and any(value > 0 for trial in tried for value in trial.labels)
        return (
            f"no answer was ever {'better than alone' if graded else 'right'}, with {len(tried)} supplements on "
            f"{questions} questions: check with `fulcrum validate` that gold answers score 1.0; else use easier "
            "questions, a better actor, or a generator that knows what the actor lacks"
        )
    return (
        f"all supplements of each question are worth the same ({len(tried)} supplements on {questions} questions, "
        f"{sum(value >= 1.0 for value in alone.values())} of them solved alone): raise temperature or pool, lower "
        "margin, or use questions that the actor solves now and then"
    )


def _whole(trial: Trial) -> bool:
    """Return whether the text that is kept is all that the actor said: no last turn, and no bare call of a tool."""
    return trial.calls == len(trial.answers) and bool(trial.answers[0])


def _better(rule: Rule, value: float, alone: float) -> bool:
    return value >= 1.0 if rule.labels == "binary" else value > alone


def _failures(trials: Sequence[Trial]) -> str:
    kinds = Counter(trial.failure or f"actor {trial.verdicts[0]}" for trial in trials if not trial.labels)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "no failures"
