"""The algorithm: anchor the scarce task rows, shuffle them into general rows, tune, and do the same without each part.

1. write or take the anchor                                             `find_anchor`
2. mix: anchored task rows + general rows, by loss tokens, shuffled     `Bench.mix`
3. tune on the mix; what is free to choose is chosen by dev             `tune`
4. the same task rows spent in every other way that could explain it    `tune`, for each control
"""

from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from textwrap import indent
from typing import Any

from fulcrum.artifact import write_card
from fulcrum.atomic import read_json, write_json
from fulcrum.evaluation.baselines import Direct, FewShot, draw_demonstrations
from fulcrum.evaluation.solver import Solver
from fulcrum.leverage import automatic
from fulcrum.leverage.anchor import Anchor, AnchorPlan, random_words
from fulcrum.leverage.arms import ARMS, Arm, ArmName
from fulcrum.leverage.general import vocabulary
from fulcrum.leverage.mix import write_mix
from fulcrum.leverage.settings import AUTO, LeverageSettings
from fulcrum.leverage.trial import ROLE, Bench, TrialResult
from fulcrum.leverage.tries import Cell, Exposure, Trial, tries
from fulcrum.runs import Run
from fulcrum.runs.learn import RIVALS
from fulcrum.training.weights import copy_weights

LEARNED = "leverage.json"
"""File of a run that says what was trained, with which anchor, and how it did on dev."""

_ROWS_TO_CHOOSE_BY = 64


def learn(run: Run) -> None:
    """Tune with leverage and in every way that it must beat, and write the artifact."""
    bench = Bench(run)
    cell = bench.cell()
    anchor = find_anchor(bench, cell)
    check_ahead(bench, [(name, cell) for name in ("tell", *bench.settings.controls)], anchor)
    train_ahead(bench, cell, anchor)
    trials: dict[ArmName, tuple[Trial, TrialResult]] = {"tell": tune(bench, "tell", cell, anchor)}
    method = trials["tell"][1].exposure
    for name in bench.settings.controls:
        trials[name] = tune(bench, name, cell, anchor, method)
    learned = {
        "anchor": asdict(anchor) if anchor else None,
        "before": before(bench, anchor),
        "arms": {
            name: {"about": ARMS[name].about, "weights": str(result.weights.relative_to(run.folder)), **result.facts()}
            for name, (_, result) in trials.items()
        },
    }
    write_json(run.folder / LEARNED, learned)
    write_artifact(bench, *trials["tell"])
    run.log("learned", anchor=anchor.text if anchor else None, dev={name: r.score for name, (_, r) in trials.items()})


def check_ahead(bench: Bench, planned: Iterable[tuple[ArmName, Cell]], anchor: Anchor | None) -> None:
    """Refuse, before hours of training, rows that an arm will be trained on or measured by and that do not fit.

    Raises:
        SettingsError: some are too long for the model.
    """
    for name, cell in planned:
        trial, *_ = trials_of(bench, ARMS[name], cell, anchor)  # all that an arm tries, it tries on the same rows
        bench.check(trial)
        bench.counter.check("dev", bench.dev_rows(), trial.plan.anchor if trial.plan else None)


def train_ahead(bench: Bench, cell: Cell, anchor: Anchor | None) -> None:
    """Train the method and its controls side by side, as far as one need not wait for what dev says of another."""
    own = trials_of(bench, ARMS["tell"], cell, anchor)
    if len(own) > 1:
        bench.train_ahead(own)
        method = tune(bench, "tell", cell, anchor)[1].exposure
    else:
        method = bench.exposure(own[0])
    controls = [trials_of(bench, ARMS[name], cell, anchor, method) for name in bench.settings.controls]
    bench.train_ahead([*own, *chain.from_iterable(controls)])


def tune(
    bench: Bench, name: ArmName, cell: Cell, anchor: Anchor | None, method: Exposure | None = None
) -> tuple[Trial, TrialResult]:
    """Train an arm with every setting that is to be tried, and return what is best on dev.

    Args:
        bench: where to work.
        name: which arm.
        cell: with how many rows, and which seed.
        anchor: the method's own anchor.
        method: what the method trained on, for arms that are matched to it.
    """
    role = ROLE if name == "tell" else RIVALS
    tried = [(trial, bench.try_out(trial, role)) for trial in trials_of(bench, ARMS[name], cell, anchor, method)]
    best = max(tried, key=lambda one: (one[1].score, -one[1].dev_loss))
    bench.run.log("tuned", arm=name, cell=asdict(cell), tried=len(tried), dev=best[1].score)
    return best


def trials_of(bench: Bench, arm: Arm, cell: Cell, anchor: Anchor | None, method: Exposure | None = None) -> list[Trial]:
    """Return the trainings that an arm tries."""
    return tries(bench.settings, arm, cell, _plan(bench, arm, anchor), method)


def _plan(bench: Bench, arm: Arm, anchor: Anchor | None) -> AnchorPlan | None:
    """Return the anchor that an arm's rows carry; a placebo does not change on the way."""
    if anchor is None or arm.anchor == "none":
        return None
    if arm.anchor == "other":
        return AnchorPlan(replace(anchor, text=bench.settings.other_anchor))
    if arm.anchor == "random":
        return AnchorPlan(random_words(anchor, vocabulary(bench.general.rows), bench.run.recipe.seed))
    dynamic = bench.settings.dynamic
    return AnchorPlan(anchor, dynamic.pool, dynamic.dropout, dynamic.cooldown, dynamic.shorten)


def find_anchor(bench: Bench, cell: Cell) -> Anchor | None:
    """Return the anchor that the settings give, or the best of those written for the task."""
    text, place = bench.settings.anchor, bench.settings.anchor_place
    if text != AUTO:
        return Anchor(text, place) if text.strip() else None
    inputs = {
        "task": bench.task.fingerprint,
        "model": bench.fingerprint,
        "writer": bench.run.recipe.resolved()["models"].get("writer"),
        "general": bench.general.fingerprint,
        "rows": cell.task_rows,
        "seed": cell.seed,
        "place": place,
        "candidates": bench.settings.candidates,
    }
    folder = bench.run.stage("anchor", inputs, lambda folder: _write_anchors(bench, cell, folder))
    return Anchor(read_json(folder / "candidates.json")[0]["text"], place)


def _write_anchors(bench: Bench, cell: Cell, folder: Path) -> None:
    rows = bench.task_rows(cell)[:_ROWS_TO_CHOOSE_BY]
    texts = [(text, "template") for text in automatic.templates(bench.task.name, rows, bench.general.rows)]
    if "writer" in bench.run.recipe.models:
        writer = bench.run.model("writer")
        written = automatic.written_by(writer, rows, bench.settings.candidates, bench.run.recipe.seed)
        texts += [(text, "model") for text in written]
    untuned = bench.open(None)
    dev = bench.dev_rows()[:_ROWS_TO_CHOOSE_BY]
    found = automatic.choose(
        texts,
        bench.settings.anchor_place,
        rows,
        bench.general.held_out,
        lambda anchor: untuned.loss([anchor.row(row) for row in dev]),
        bench.counter.text,
    )
    write_json(folder / "candidates.json", [candidate.to_json() for candidate in found])


def before(bench: Bench, anchor: Anchor | None) -> dict[str, float]:
    """Return what the untuned model pays for the held-out general rows, and for the right dev answers."""

    def work(folder: Path) -> None:
        untuned = bench.open(None, anchor)
        facts = {"general_loss": bench.general_loss(untuned), "dev_loss": bench.task_loss(untuned)}
        write_json(folder / "before.json", facts)

    inputs = {
        "model": bench.fingerprint,
        "task": bench.task.fingerprint,
        "general": bench.general.fingerprint,
        "anchor": asdict(anchor) if anchor else None,
    }
    return read_json(bench.run.stage("before", inputs, work) / "before.json")


def untuned_solvers(bench: Bench, anchor: Anchor | None) -> list[Solver]:
    """Return the model as it was: asked plainly, asked with the anchor, and shown solved examples."""
    untuned = bench.open(None)
    solvers: list[Solver] = [Direct(bench.recorded(untuned), bench.greedy, name="untuned")]
    if anchor and not anchor.opener:  # what the model has never learnt to write changes nothing
        model = bench.recorded(replace(untuned, anchor=anchor))
        solvers.append(Direct(model, bench.greedy, name="untuned + anchor"))
    if bench.settings.shots:
        shown = draw_demonstrations(bench.task, bench.settings.shots, bench.run.recipe.seed)
        solvers.append(FewShot(bench.recorded(untuned), shown, bench.greedy))
    return solvers


def write_artifact(bench: Bench, trial: Trial, result: TrialResult) -> None:
    """Write what is deployed: the weights, the mix that made them, and a card that holds the anchor."""
    run = bench.run
    kind = weights_folder(bench.settings)
    copy_weights(result.weights, run.artifact / kind, bench.model_name)
    write_mix(run.artifact / "mix.jsonl", bench.mix(trial))
    anchor = asdict(result.anchor) if result.anchor else None
    opener_tokens = bench.opener_tokens(result.anchor)
    write_card(run, _about(bench, result), anchor=anchor, opener_tokens=opener_tokens, weights=kind)


def weights_folder(settings: LeverageSettings) -> str:
    """Return the name of the artifact's weights."""
    return "model" if settings.training.tuning == "full" else "adapter"


def _about(bench: Bench, result: TrialResult) -> str:
    ledger: dict[str, Any] = result.ledger
    anchor = result.anchor
    if anchor:
        it, does = (
            ("Every answer opens with this anchor", "takes it off")
            if anchor.opener
            else (f"Every prompt needs this anchor ({anchor.place})", "puts it there")
        )
        use = f"{it}:\n\n{indent(anchor.text, ' ' * 4, lambda _: True)}\n\n`fulcrum serve` {does}."
    else:
        use = "It needs no anchor in use."
    kind = weights_folder(bench.settings)
    return f"""# {bench.model_name} tuned on {bench.task.name} by leverage

{use}

`{kind}/` holds the {"weights" if kind == "model" else "LoRA adapter; PEFT and vLLM load it"}. `mix.jsonl` is what it \
was trained on, row by row in order (hash {result.mix_hash}).

| | |
|---|---|
| task rows (tokens) | {ledger["task_rows"]:,} ({ledger["task_unique"]:,}), each seen {ledger["repeats"]:.1f} times |
| general rows (tokens) | {ledger["general_rows"]:,} ({ledger["general_unique"]:,}) |
| share of loss on the task | {ledger["task_share"]:.1%} |
| steps, learning rate | {ledger["steps"]:,}, {result.learning_rate:g} |
| dev score | {result.score:.1%} (cut off {result.cut_off:.1%}) |
"""
