"""The algorithm: scenario generation and strategies for improvement, in turns (arXiv 2408.07238).

for each round:
    hold dialogues in which a falling share of turns is the teacher's
    where student and teacher differ, judge both replies
    where the teacher's is better, let it write the strategy that the student lacks
    keep a strategy if the student does better with it, there and in the situations most like it
    put together what says the same, narrow what helps here and hurts there, reject the rest
    stop if the student has caught up; go to the last round if the teacher says nothing new
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json, write_json
from fulcrum.chat.parsing import with_tool_calls
from fulcrum.evaluation.pairing import outcomes, pair
from fulcrum.hashing import seed_from
from fulcrum.runs import Run
from fulcrum.strategies.bench import Bench, kept
from fulcrum.strategies.dialogue import Compared, State, converse
from fulcrum.strategies.finetuned import REPLIES
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.judging import ModelJudge, OutcomeJudge, refuse_silence
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import FIELD_LIMIT, Advice
from fulcrum.strategies.retrieval import Retriever, applies_everywhere
from fulcrum.strategies.solver import retrieved
from fulcrum.strategies.suggestions import Group, Suggestion, ask_teacher, group, known, located, scenario_of
from fulcrum.strategies.trials import Candidate, Neighbours, Trial, Trials
from fulcrum.strategies.words import ALTERNATIVE
from fulcrum.training.rows import ChatRow, write_rows

LOOP = "fulcrum"
"""Who decides in the loop; people come later."""


def learn_library(run: Run) -> tuple[Path, list[dict[str, Any]]]:
    """Run all rounds, each a stage of the run.

    Returns:
        The library's file, and what each round came to: the curve.
    """
    settings = Bench(run).settings
    folder: Path | None = None
    curve: list[dict[str, Any]] = []
    number = 0
    while number < settings.rounds:
        beta = 1 - number / (settings.rounds - 1) if settings.rounds > 1 else 0.0
        inputs = {
            "recipe": run.recipe.resolved(),
            "round": number + 1,
            "beta": beta,
            "after": folder.name if folder else None,
        }
        folder = run.stage(f"round-{number + 1}", inputs, partial(_round, run, folder, number, beta))
        curve.append(read_json(folder / "round.json"))
        if curve[-1]["caught_up"]:
            break
        last = settings.rounds - 1
        novelty = curve[-1]["novelty"]
        nothing_new = novelty is not None and novelty < settings.novelty
        number = last if nothing_new and number < last else number + 1
    assert folder is not None
    return folder / "library.jsonl", curve


def _round(run: Run, before: Path | None, number: int, beta: float, folder: Path) -> None:
    """Do one round, from the library of the round before."""
    path = folder / "library.jsonl"
    # Over what a kill left; and where nothing is ever proposed there must be a library all the same.
    path.write_bytes((before / "library.jsonl").read_bytes() if before else b"")
    round_ = _Round(Bench(run), Library(path, clock=lambda: f"round {number + 1}"), number, beta)
    write_json(folder / "round.json", round_.go(folder))


class _Round:
    """One round. The library holds what earlier rounds kept."""

    def __init__(self, bench: Bench, library: Library, number: int, beta: float) -> None:
        self._bench, self._library = bench, library
        self._number, self._beta = number, beta
        self._settings, self._wording = bench.settings, bench.wording
        self._retriever = Retriever(kept(library), self._settings.retrieval)
        self._student = bench.student(retrieved(self._retriever, self._wording), name="retrieved")
        self._trials = Trials(bench.task, self._student, bench.check)

    def go(self, folder: Path) -> dict[str, Any]:
        """Do everything, and return the round's line of the curve; the teacher's replies go to `folder`."""
        compared = self._converse()
        taught = [
            ChatRow(case.state.messages, with_tool_calls(case.teacher.message()), case.state.question.tools)
            for case in compared
        ]
        write_rows(folder / REPLIES, taught)
        states = [case.state for case in compared]
        suggestions, judged = self._suggest([case for case in compared if case.differ])
        groups = group(suggestions or (), self._settings.duplicate)
        everything = sorted(
            self._library.strategies(),
            key=lambda strategy: (strategy.merged_into is not None, strategy.status == "rejected"),
        )
        familiar = [(self._known(one, everything), one) for one in groups]
        fresh = [one for strategy, one in familiar if strategy is None]
        decided: Counter[str] = Counter()
        if states:
            neighbours = Neighbours(states, self._wording, self._retriever)
            decided += self._take_in(fresh, states, neighbours)
            missed = {strategy.id: (strategy, one) for strategy, one in familiar if strategy is not None}
            decided += self._widen(list(missed.values()), states, neighbours)
            failed = [strategy for strategy in everything if _failed(strategy)]
            again = [missed.get(strategy.id, (strategy, None)) for strategy in failed]
            decided += self._try_again(again, states, neighbours)
        covered = sum(bool(self._retriever.retrieve(self._wording.situation(state.messages))) for state in states)
        return {
            "round": self._number + 1,
            "beta": self._beta,
            "turns": len(compared),
            "covered": covered / len(states) if states else 0.0,
            "differ": sum(case.differ for case in compared),
            **judged,
            "suggestions": len(suggestions or ()),
            "novelty": None if suggestions is None else len(fresh) / len(groups) if groups else 0.0,
            **{f"strategies/{what}": count for what, count in sorted(decided.items())},
            "library": len(kept(self._library)),
            **self._gap(),
        }

    @property
    def _repeats(self) -> bool:
        """Whether this round holds dialogues of earlier ones again: its trials are not to be added to theirs."""
        return (self._number + 1) * self._settings.dialogues > len(self._bench.task.examples("train"))

    def _converse(self) -> list[Compared]:
        """Hold the round's dialogues: other ones in each round, as long as there are enough."""
        examples = list(self._bench.task.examples("train"))
        random.Random(seed_from(self._bench.seed, "dialogues")).shuffle(examples)
        count = min(self._settings.dialogues, len(examples))
        ids = [examples[place % len(examples)].id for place in range(self._number * count, (self._number + 1) * count)]
        return converse(
            self._bench.task, ids, self._student, self._bench.teacher(), self._beta, self._bench.seed, self._bench.check
        )

    def _suggest(self, cases: Sequence[Compared]) -> tuple[list[Suggestion] | None, dict[str, int]]:
        """Judge the turns where replies differ, and let the teacher say what the worst of the student's lack.

        Returns:
            What it suggests, None where judge or teacher was asked and said nothing that can be read; and the counts.

        Raises:
            RunError: nothing was heard because calls failed.
        """
        judge = (
            ModelJudge(self._bench.judge, self._wording)
            if self._bench.judge
            else OutcomeJudge(self._bench.task, self._student, self._bench.check)
        )
        preferences = judge.compare(cases)
        self._bench.check()
        judged = [(case, found) for case, found in zip(cases, preferences, strict=True) if found is not None]
        better = [(case, found) for case, found in judged if found.gain > 0]
        # A gain that many turns share must not leave the choice to the order of the dialogues.
        rng = random.Random(seed_from(self._bench.seed, "requests", self._number))
        chosen = sorted(rng.sample(better, len(better)), key=lambda pair: -pair[1].gain)[: self._settings.requests]
        asked = ask_teacher(self._bench, chosen)
        unheard = bool(cases and not judged) or bool(chosen and not asked.heard)
        if unheard:
            refuse_silence("requests for a strategy", asked.failures)
        facts = {
            "judged/teacher": len(better),
            "judged/student": sum(found.gain < 0 for _, found in judged),
            "judged/tie": sum(found.gain == 0 for _, found in judged),
            "judged/failed": len(cases) - len(judged),
            "asked": len(chosen),
            "unreadable": asked.unreadable,
            "unanswered": asked.failed,
        }
        return None if unheard else asked.suggestions, facts

    def _known(self, one: Group, everything: Sequence[Strategy]) -> Strategy | None:
        """Return the strategy that says the same as a group; for a merged one, that which took its place."""
        found, passed = known(one.advice, everything, self._settings.duplicate), set[str]()
        while found is not None and found.merged_into is not None and found.id not in passed:
            passed.add(found.id)
            found = self._library.strategy(found.merged_into)
        return found

    def _take_in(self, groups: Sequence[Group], states: Sequence[State], neighbours: Neighbours) -> Counter[str]:
        """Propose, check and try what is new."""
        decided: Counter[str] = Counter()
        candidates: list[Candidate] = []
        for one in groups:
            candidate = self._propose(one, states, neighbours)
            if candidate is None:
                decided["blocked"] += 1
            else:
                candidates.append(candidate)
        trials = self._trials.run(candidates)
        broad: list[tuple[Candidate, Trial]] = []
        for candidate, trial in zip(candidates, trials, strict=True):
            outcome = self._settle(candidate, trial)
            decided[outcome] += 1
            if outcome == "rejected" and trial.mixed:
                broad.append((candidate, trial))
        return decided + self._split(broad, neighbours)

    def _propose(self, one: Group, states: Sequence[State], neighbours: Neighbours) -> Candidate | None:
        """Enter a group into the library, its other wordings merged into it; None if the checks block it."""
        advice = one.advice
        if not self._wording.writes_scenarios:
            advice = located(advice, one.states, states, self._wording)
        if advice.id in self._library:
            return None
        count = len(one.suggestions)
        strategy = self._library.propose(
            advice,
            who="teacher",
            reason=f"suggested at {count} turn{'s' * (count != 1)}",
            evidence=one.first.evidence(self._bench.models),
        )
        for variant in one.variants:
            if variant.advice.id not in self._library:
                other = self._library.propose(
                    variant.advice, who="teacher", evidence=variant.evidence(self._bench.models)
                )
                self._library.merge([strategy.id, other.id], advice, who=LOOP, reason="says the same")
        if self._blocked(strategy):
            return None
        return self._candidate(strategy, advice, one.states, neighbours)

    def _candidate(
        self, strategy: Strategy, advice: Advice, origins: Sequence[State], neighbours: Neighbours
    ) -> Candidate:
        turns = neighbours.of(strategy, advice, origins, self._settings.trial_dialogues)
        return Candidate(strategy.id, advice, *turns)

    def _examine(self, strategy: Strategy) -> Strategy:
        """Check a strategy against what has passed its trial: others on trial may turn out to be the wrong ones."""
        return self._bench.examine(self._library, strategy, kept(self._library))

    def _blocked(self, strategy: Strategy) -> bool:
        """Check a strategy, and reject it if that stands against it."""
        checked = self._examine(strategy)
        if checked.blocked:
            reason = "; ".join(f"{found.check}: {found.text}" for found in checked.blocked)
            self._library.decide(strategy.id, "rejected", who=LOOP, reason=reason[:1000])
        return bool(checked.blocked)

    def _settle(self, candidate: Candidate, trial: Trial) -> str:
        """Note what a trial showed; reject what it did not show to help, or what contradicts one that passed before."""
        self._library.record_effect(candidate.id, trial.effect, who=LOOP)
        if trial.accepted(self._settings.alpha):
            self._library.note(candidate.id, f"passed the trial: {trial.summary()}", who=LOOP)
            return "blocked" if self._blocked(self._library.strategy(candidate.id)) else "accepted"
        self._library.decide(candidate.id, "rejected", who=LOOP, reason=trial.summary())
        return "rejected"

    def _split(self, broad: Sequence[tuple[Candidate, Trial]], neighbours: Neighbours) -> Counter[str]:
        """Narrow strategies that help here and hurt there to where they help.

        Half of the dialogues tried tell where that is; the narrowed strategy is tried in all others.
        """
        narrowed: list[Candidate] = []
        for candidate, trial in broad:
            half = {state.question.id for state in candidate.states[::2]}
            helped, hurt = (
                [state for state in some if state.question.id in half] for some in (trial.helped, trial.hurt)
            )
            scenario = scenario_of(helped, [*helped, *hurt], self._wording) if helped else ""
            advice = candidate.advice.model_copy(update={"scenario": scenario, "level": "specific"})
            if not scenario or advice.id in self._library:
                continue
            strategy = self._library.propose(
                advice,
                who=LOOP,
                reason="narrowed to where it helps",
                evidence=self._library.strategy(candidate.id).evidence,
                parents=[candidate.id],
            )
            if self._blocked(strategy):
                continue
            tried = neighbours.served(strategy, but_not=half)[: self._settings.trial_dialogues]
            narrowed.append(Candidate(strategy.id, advice, neighbours=tuple(tried)))
        trials = self._trials.run(narrowed)
        return Counter(f"split/{self._settle(one, trial)}" for one, trial in zip(narrowed, trials, strict=True))

    def _widen(
        self, missed: Sequence[tuple[Strategy, Group]], states: Sequence[State], neighbours: Neighbours
    ) -> Counter[str]:
        """Where a known strategy was called for and not retrieved, try it there, and widen its scenario if it helps."""
        serving = {strategy.id for strategy in self._retriever.strategies}
        candidates: list[Candidate] = []
        for strategy, one in missed:
            id, advice = strategy.id, strategy.advice
            if id not in serving or applies_everywhere(advice.scenario):
                continue
            without = [state for state in one.states if not self._retrieves(id, state)]
            more = scenario_of(without, states, self._wording) if len(without) >= 2 else ""
            wider = advice.model_copy(update={"scenario": ALTERNATIVE.join([advice.scenario, more])})
            if more and more not in advice.scenario and len(wider.scenario) <= FIELD_LIMIT:
                elsewhere = advice.model_copy(update={"scenario": more})
                candidates.append(replace(self._candidate(strategy, elsewhere, without, neighbours), advice=wider))
        trials = self._trials.run(candidates)
        decided: Counter[str] = Counter()
        for candidate, trial in zip(candidates, trials, strict=True):
            if not trial.accepted(self._settings.alpha):
                decided["widened/no"] += 1
                continue
            reason = f"wider scenario: {trial.summary()}"
            strategy = self._library.edit(candidate.id, candidate.advice, who=LOOP, reason=reason)
            self._examine(strategy)
            self._library.record_effect(candidate.id, trial.effect, who=LOOP)
            decided["widened/yes"] += 1
        return decided

    def _try_again(
        self, failed: Sequence[tuple[Strategy, Group | None]], states: Sequence[State], neighbours: Neighbours
    ) -> Counter[str]:
        """Try what earlier trials did not show to help, and add up what all of them show.

        What is called for in this round is tried there; else what was better more often than worse, where it fits.
        """
        candidates: list[Candidate] = []
        for strategy, one in failed:
            effect = strategy.effects["state"]
            if one is not None:
                advice = self._relocated(strategy.advice, one, states, neighbours)
                candidates.append(self._candidate(strategy, advice, one.states, neighbours))
            elif effect.better > effect.worse and (tried := neighbours.served(strategy, but_not=())):
                tried = tried[: self._settings.trial_dialogues]
                candidates.append(Candidate(strategy.id, strategy.advice, neighbours=tuple(tried)))
        decided: Counter[str] = Counter()
        for candidate, found in zip(candidates, self._trials.run(candidates), strict=True):
            before = self._library.strategy(candidate.id)
            elsewhere = neighbours.places(before.advice.scenario) != neighbours.places(candidate.advice.scenario)
            trial = found if elsewhere or self._repeats else found.with_earlier(before.effects["state"])
            passed, said = trial.accepted(self._settings.alpha), f"tried again: {trial.summary()}"
            if candidate.advice != before.advice:
                strategy = self._library.edit(candidate.id, candidate.advice, who=LOOP, reason=said)
                self._examine(strategy)
            elif passed:
                self._library.decide(candidate.id, "reopened", who=LOOP, reason=said)
            self._library.record_effect(candidate.id, trial.effect, who=LOOP)
            if not passed:
                self._library.decide(candidate.id, "rejected", who=LOOP, reason=said)
            elif self._blocked(self._library.strategy(candidate.id)):
                passed = False
            decided["again/yes" if passed else "again/no"] += 1
        return decided

    def _relocated(self, advice: Advice, one: Group, states: Sequence[State], neighbours: Neighbours) -> Advice:
        """Return known advice with the scenario of where it is suggested now, if that is elsewhere than before."""
        if self._wording.writes_scenarios:
            return advice
        found = located(advice, one.states, states, self._wording)
        before, now = neighbours.places(advice.scenario), neighbours.places(found.scenario)
        return advice if now and now <= before else found

    def _retrieves(self, id: str, state: State) -> bool:
        matches = self._retriever.retrieve(self._wording.situation(state.messages))
        return any(match.strategy.id == id for match in matches)

    def _gap(self) -> dict[str, Any]:
        """Compare the student, with all that is kept now, with the teacher on development dialogues."""
        limit = self._settings.gap_dialogues
        if not limit:
            return {"gap": None, "caught_up": False}
        retriever = Retriever(kept(self._library), self._settings.retrieval)
        student = self._bench.student(retrieved(retriever, self._wording), name="retrieved")
        own, other = (
            outcomes(self._bench.roll_out(solver, "dev", limit).rollouts) for solver in (student, self._bench.teacher())
        )
        pairing = pair(own, other)
        if pairing is None:
            return {"gap": None, "caught_up": False}
        gap = pairing.difference
        return {
            "student": sum(outcome.value for outcome in own.values()) / len(own),
            "gap": [gap.estimate, gap.low, gap.high],
            "caught_up": gap.low <= 0,
        }


def _failed(strategy: Strategy) -> bool:
    """Return whether a trial alone speaks against a strategy, and no check and no person."""
    by_trial = strategy.decided is not None and strategy.decided.who == LOOP and "state" in strategy.effects
    return strategy.status == "rejected" and by_trial and not strategy.blocked
