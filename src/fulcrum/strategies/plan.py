"""What a run will take: who holds how many dialogues, and what is asked about their turns."""

from functools import partial

from fulcrum.methods import PlannedCalls, asked_by_the_task, planned_turns, prompt_tokens
from fulcrum.recipe import Recipe
from fulcrum.strategies.bench import read_handbook, wording_for
from fulcrum.strategies.judging import COMPARISON_TOKENS
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.suggestions import STRATEGY_TOKENS

_LINE = "x" * 240
"""Stands for a strategy in a prompt."""


def planned_calls(recipe: Recipe) -> list[PlannedCalls]:
    """Return the calls of learning and of evaluation.

    Estimates are the length of a dialogue, that one suggestion in ten is none that was made before, and that one of
    four of these is kept; everything else is bounded by the settings.

    Raises:
        RunError: the teacher's handbook is not what it was.
        SettingsError: it cannot be read.
    """
    settings, task = recipe.settings_as(StrategiesSettings), recipe.task
    length, reply, judged = planned_turns(task), settings.max_tokens or task.max_tokens, "judge" in recipe.models
    talks, test = min(settings.dialogues, len(task.examples("train"))), len(task.examples("test"))
    gap, effect = (min(n, len(task.splits.get("dev", ()))) for n in (settings.gap_dialogues, settings.effect_dialogues))
    asked = settings.rounds * settings.requests
    new = max(1, asked // 10)
    kept = max(1, new // 4)

    held = {  # whole dialogues, by part and agent
        ("trials", "student"): (new + settings.rounds) * min(settings.trial_dialogues, talks),
        ("gap", "student"): settings.rounds * gap,
        ("gap", "teacher"): gap,
        ("effects", "student"): 2 * (kept + 1) * effect,
        ("evaluation", "student"): (5 + settings.finetune) * test,
        ("evaluation", "teacher"): test,
    }
    turns = settings.rounds * talks * length
    continued = 0 if judged else turns * length  # from every turn on, after either reply

    wording = wording_for(recipe.keys.task, settings, read_handbook(recipe.keys.task, settings))
    prompt = partial(prompt_tokens, task, reply)
    lines = [_LINE] * settings.retrieval.top_k
    shown = {"student": prompt(lambda said: wording.guide(said, lines)), "teacher": prompt(wording.teach)}
    lesson = prompt(lambda said: wording.ask(said, "", "")) + 2 * reply
    rows = [PlannedCalls("rounds", agent, turns, read, reply) for agent, read in shown.items()]
    if judged:  # in both orders, and of each new strategy whether it is safe, when it is made and when it is kept
        compared = prompt(lambda said: wording.compare(said, "", "")) + 2 * reply
        rows.append(PlannedCalls("judging", "judge", 2 * (turns + new), compared, COMPARISON_TOKENS))
    rows.append(PlannedCalls("judging", "student", continued, shown["student"], reply))
    rows.append(PlannedCalls("strategies", "teacher", asked + 1, lesson, STRATEGY_TOKENS))  # and general advice
    rows += [PlannedCalls(part, agent, n * length, shown[agent], reply) for (part, agent), n in held.items()]
    finished = sum(held.values())
    scored = finished + (0 if judged else 2 * turns)
    rows += asked_by_the_task(recipe, reply, scored, turns + continued + finished * length)
    return [row for row in rows if row.calls]
