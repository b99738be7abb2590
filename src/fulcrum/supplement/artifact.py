"""What is deployed: the generator's weights, with what a person wants to know before using them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fulcrum.artifact import Artifact, write_card
from fulcrum.atomic import write_json, write_text
from fulcrum.runs import Run
from fulcrum.supplement.controls import static_prompt
from fulcrum.supplement.learn import Learned
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.wording import WORDINGS
from fulcrum.training.source import trained_name
from fulcrum.training.weights import copy_weights

WEIGHTS = "generator"
STATIC_PROMPT = "static_prompt.txt"
"""The best supplements of training as one text: a control, and sometimes all that one needs."""

ROUNDS = "rounds.json"
"""Every figure of the warm start and each round, see `Steps.look`."""

CURVE = "curve.json"
"""What a report draws of it: points of `fulcrum.report.curves`."""

_DRAWN = (
    ("dev/mean", "supplemented", "dev score, points", 100),
    ("dev/alone", "actor alone", "dev score, points", 100),
    ("labels/usable_share", "usable questions", "share of questions, percent", 100),
    ("dev/silent", "nothing said on dev", "share of questions, percent", 100),
    ("dev/form_entropy", "on dev", "entropy of forms, bits", 1),
    ("pool/form_entropy", "in the pool", "entropy of forms, bits", 1),
    ("dev/gain_per_1000_calls", "supplemented", "dev gain per 1,000 actor calls, points", 100),
)
"""Figure of a round, its line, its chart, its unit."""


def write_artifact(run: Run, settings: SupplementSettings, learned: Learned) -> None:
    """Write the artifact of a run; the same run always writes the same bytes."""
    assert learned.weights.trained is not None
    copy_weights(learned.weights.trained, run.artifact / WEIGHTS, run.recipe.models["generator"])
    write_text(run.artifact / STATIC_PROMPT, static_prompt(learned.helped, settings.static) + "\n")
    write_json(run.artifact / ROUNDS, list(learned.curve))
    write_json(run.artifact / CURVE, _points(learned.curve))
    write_card(run, _about(run, settings, learned), chosen=learned.chosen, stopped=learned.stopped)


def generator_name(artifact: Artifact, settings: SupplementSettings) -> str:
    """Return the name under which the trained generator can be opened."""
    return trained_name(artifact.models["generator"], artifact.folder / WEIGHTS, settings.warm_start.tuning)


def _points(curve: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"series": line, "x": one["round"], "y": unit * one[figure], "x_label": "round", "y_label": chart}
        for figure, line, chart, unit in _DRAWN
        for one in curve
        if figure in one
    ]


def _about(run: Run, settings: SupplementSettings, learned: Learned) -> str:
    models = run.recipe.models
    stopped = f"\n{learned.sentence}\n" if learned.sentence else ""
    written, usable = ("for each question", "questions") if settings.when == "start" else ("before every turn", "turns")
    read = "after the question, in a block that says it may be wrong"
    if WORDINGS[settings.wording].in_system:
        read = "at the end of its system message"
    return f"""# Supplements for {models["actor"]} on {run.recipe.keys.task}

`{models["generator"]}`, trained with `{settings.trainer}`, writes a note {written}. `{models["actor"]}`
reads it {read}. Only the generator was trained: by what the actor
achieved.

| after | actor calls so far | usable {usable} | dev alone | dev with supplement | of those solved alone, broken |
|---|---|---|---|---|---|
{_lines(learned.curve)}

Deployed is the generator after {name_of_round(learned.chosen)}, the best on dev. Dev was used to choose it, so its
figure is too good: `fulcrum evaluate` measures on test, beside every control.
{stopped}
`{WEIGHTS}/` holds the weights, `{STATIC_PROMPT}` the best supplements of training as one text, `{ROUNDS}` all figures.
"""


def _lines(curve: Sequence[Mapping[str, Any]]) -> str:
    def percent(share: float | None) -> str:
        return "" if share is None else f"{100 * share:.1f} %"

    return "\n".join(
        f"| {name_of_round(one['round'])} | {one['actor/calls']} | {percent(one.get('labels/usable_share'))} | "
        f"{percent(one['dev/alone'])} | {percent(one['dev/mean'])} | {percent(one['dev/harm'])} |"
        for one in curve
    )


def name_of_round(number: int) -> str:
    """Return what a round is called; 0 is the warm start."""
    return f"round {number}" if number else "the warm start"
