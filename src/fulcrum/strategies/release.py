"""The gate before serving: dialogues that must go well, and nothing worse than what was released before.

To approve is to say that one strategy may be served, to release that all of them together do no harm. Who names a
must-pass case, or has released once, serves only what was released: `refuse_unreleased` refuses the rest, and a server
that is running keeps what it has.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from fulcrum.atomic import read_json, write_json
from fulcrum.errors import RunError
from fulcrum.strategies.bench import Bench, served
from fulcrum.strategies.effects import Effects
from fulcrum.strategies.fold import Strategy, versions
from fulcrum.strategies.library import Library, utc_now
from fulcrum.strategies.records import Effect
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.solver import retrieved
from fulcrum.task import Example, Task

MUST_PASS = "must-pass.json"
"""In the artifact: ids of the dialogues that must pass, each with who wants it and why."""

RELEASE = "release.json"
"""In the artifact: what was released last."""


_Ids = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """What may be served, and what was found when it was tried.

    Attributes:
        strategies: id and version of each.
        passed: must-pass dialogues that succeeded and broke no rule.
        failed: those that did not.
        unanswered: those that could not be tried, because a call failed.
        change: mean difference on development dialogues to what was released before; None for a first release.
        who: who released it.
        at: when (ISO 8601, UTC).
        reason: why it was released against what was found.
        missing: development dialogues without which `change` was measured, because a call failed.
    """

    strategies: tuple[tuple[str, int], ...]
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    unanswered: tuple[str, ...]
    change: Effect | None
    who: str
    at: str
    reason: str = ""
    missing: int = 0

    @property
    def against(self) -> list[str]:
        """What stands against it; a person may overrule that with a reason."""
        found = [f"must pass, and does not: {id}" for id in self.failed]
        found += [f"must pass, and could not be tried, for a call failed: {id}" for id in self.unanswered]
        if self.change is not None and self.change.harms:
            change = f"{self.change.estimate:+.3f} [{self.change.low:+.3f}, {self.change.high:+.3f}]"
            found.append(f"worse than what was released before: {change} on {self.change.n} development dialogues")
        if self.missing:
            found.append(f"{self.missing} development dialogues could not be compared, for a call failed; try again")
        return found

    @property
    def blocked(self) -> bool:
        """True if it may not be served."""
        return bool(self.against) and not self.reason.strip()

    def to_json(self) -> dict[str, Any]:
        """Return the release as `release.json` holds it."""
        data = {key: value for key, value in asdict(self).items() if key != "change"}
        return {**data, "change": self.change and self.change.model_dump(), "blocked": self.blocked}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            tuple((id, version) for id, version in data["strategies"]),
            tuple(data["passed"]),
            tuple(data["failed"]),
            tuple(data["unanswered"]),
            data["change"] and Effect.model_validate(data["change"]),
            data["who"],
            data["at"],
            data["reason"],
            data.get("missing", 0),
        )


def must_pass(artifact: Path) -> dict[str, dict[str, str]]:
    """Return the must-pass cases of an artifact: who wants each, and why, by id of the dialogue."""
    path = artifact / MUST_PASS
    return read_json(path) if path.exists() else {}


def name_cases(artifact: Path, task: Task, ids: Collection[str], *, who: str, reason: str = "") -> None:
    """Say of dialogues that they must succeed, with no rule broken.

    Args:
        artifact: the folder of the library.
        task: whose dialogues.
        ids: each an id, or the place in the data, such as `customers.jsonl:12`.
        who: who wants it.
        reason: why.

    Raises:
        RunError: no such dialogue, or one of the test split, which would then be no test any more.
    """
    cases = {id: {"who": who, "at": utc_now(), "reason": reason} for id in _found(task, list(ids))}
    write_json(artifact / MUST_PASS, {**must_pass(artifact), **cases})


def find_cases(task: Task, words: str) -> dict[str, str]:
    """Return what a customer says first in each dialogue that could be a case and holds all the words, by id."""
    wanted = words.casefold().split()
    openings = {example.id: task.question(example).messages[-1].content for example in _choosable(task)}
    return {id: said for id, said in openings.items() if all(word in said.casefold() for word in wanted)}


def drop_cases(artifact: Path, task: Task, ids: Collection[str]) -> None:
    """Take must-pass cases back, named as for `name_cases`.

    Raises:
        RunError: one of them is none.
    """
    cases = must_pass(artifact)
    # A case whose dialogue has left the task's data can still be taken back, by its id.
    dropped = [id for id in ids if id in cases] + _found(task, [id for id in ids if id not in cases])
    if unknown := [id for id in dropped if id not in cases]:
        raise RunError(f"{artifact}: {', '.join(unknown)} is no must-pass case")
    write_json(artifact / MUST_PASS, {id: case for id, case in cases.items() if id not in dropped})


def release(bench: Bench, library: Library, *, who: str, reason: str = "") -> Release:
    """Try what would be served, and release it unless that is blocked.

    Raises:
        RunError: there is nothing to serve, or a must-pass case is not among the task's dialogues any more.
        BudgetSpent: before all was tried.
    """
    artifact = bench.run.artifact
    strategies = served(library, bench.settings)
    if not strategies:
        raise RunError(f"{artifact}: no strategy is approved, so there is nothing to release")
    last, change, missing = _last(artifact), None, 0
    if last is not None:
        before = [_as_of(library, id, version) for id, version in last.strategies]
        dialogues = bench.settings.effect_dialogues or len(bench.task.examples("dev"))
        effects = Effects(bench, dialogues)
        change = effects.between("release", before, strategies)
        missing = effects.missing(change)
    tried = _try(bench, strategies, list(must_pass(artifact)))
    bench.check()
    found = Release(versions(strategies), *tried, change, who, utc_now(), reason, missing)
    if not found.blocked:
        write_json(artifact / RELEASE, found.to_json())
    return found


def refuse_unreleased(artifact: Path, strategies: Sequence[Strategy]) -> None:
    """Refuse to serve what was not released, where releases are made.

    Raises:
        RunError: the artifact has must-pass cases or a release, and these strategies are not what was released, or not
            tried on all of these cases.
    """
    cases, last = must_pass(artifact), _last(artifact)
    if not cases and last is None:
        return
    if last is None or last.strategies != versions(strategies):
        what = "its strategies have changed since the last release, or were never released"
    elif untried := cases.keys() - {*last.passed, *last.failed, *last.unanswered}:
        what = f"{len(untried)} must-pass cases were named since the last release"
    else:
        return
    raise RunError(f"{artifact}: {what}; try what is approved with `fulcrum strategies release RUN`")


def _choosable(task: Task) -> list[Example]:
    return [example for split in ("train", "dev") for example in task.splits.get(split, ())]


def _found(task: Task, names: Sequence[str]) -> list[str]:
    """Return the ids of dialogues that are named by id or by their place in the data."""
    known = {key: example.id for example in _choosable(task) for key in (example.id, example.source) if key}
    if unknown := [name for name in names if name not in known]:
        raise RunError(f"no dialogue of the train or dev split of {task.name} is called {', '.join(unknown)}")
    return [known[name] for name in names]


def _last(artifact: Path) -> Release | None:
    """Return what was released last."""
    path = artifact / RELEASE
    return Release.from_json(read_json(path)) if path.exists() else None


def _as_of(library: Library, id: str, version: int) -> Strategy:
    """Return a strategy in the words of a version."""
    return replace(library.strategy(id), version=version, advice=library.versions(id)[version - 1])


def _try(bench: Bench, strategies: Sequence[Strategy], ids: Sequence[str]) -> tuple[_Ids, _Ids, _Ids]:
    """Hold the must-pass dialogues, and return those that pass, those that do not, and those where a call failed.

    To pass is to succeed and to break no rule.
    """
    if not ids:
        return (), (), ()
    known = {example.id: example for example in _choosable(bench.task)}
    if gone := [id for id in ids if id not in known]:
        raise RunError(f"must pass, but no dialogue of {bench.task.name} any more: {', '.join(gone)}")
    student = bench.student(retrieved(Retriever(strategies, bench.settings.retrieval), bench.wording), name="retrieved")
    cases = replace(bench.task, splits={"dev": [known[id] for id in ids]})
    scores = {
        rollout.question_id: rollout.score for rollout in bench.roll_out(student, "dev", len(ids), task=cases).rollouts
    }
    unanswered = tuple(id for id in ids if scores[id].value is None)
    passed = tuple(id for id in ids if scores[id].solved and not scores[id].details.get("violations"))
    return passed, tuple(id for id in ids if id not in {*passed, *unanswered}), unanswered
