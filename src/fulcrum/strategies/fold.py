"""From events to strategies: what each event makes of the strategy that it is about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fulcrum.errors import LibraryError
from fulcrum.settings import nearest
from fulcrum.strategies.records import (
    Advice,
    AnyEvent,
    Checked,
    Decided,
    Edited,
    Effect,
    Evidence,
    Finding,
    Measured,
    Merged,
    Proposed,
    Status,
)


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy as it stands now.

    Attributes:
        id: its name, the same in every version.
        version: how often its words have changed, from 1.
        advice: what it says.
        status: only `approved` ones are served.
        evidence: what it was learned from.
        parents: strategies that it was merged or split from.
        effects: what was measured of *this* version, by measure; an edit empties it.
        findings: what the checks found in this version; None if it was not checked.
        decided: the last decision, or None.
        merged_into: the strategy that took its place, if one did.
        revision: how many events there are about it. A write that names it is refused if others have written since.
    """

    id: str
    version: int
    advice: Advice
    status: Status
    evidence: Evidence
    parents: tuple[str, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict[str, Effect])
    findings: tuple[Finding, ...] | None = None
    decided: Decided | None = None
    merged_into: str | None = None
    revision: int = 1

    @property
    def blocked(self) -> tuple[Finding, ...]:
        """Findings that stand against its approval."""
        return tuple(finding for finding in self.findings or () if finding.severity == "block")

    @property
    def tested(self) -> bool:
        """Whether this version was tried in any dialogue."""
        return any(effect.n for effect in self.effects.values())

    def before_approval(self) -> list[str]:
        """Return what stands against approving it; a person may overrule that with a reason."""
        against = [f"{finding.check}: {finding.text}" for finding in self.blocked]
        if self.findings is None:
            against.append(f"version {self.version} was not checked")
        if not self.tested:
            against.append(f"version {self.version} was not tested")
        against += [
            f"it harms the student: {effect.measure} {effect.estimate:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
            for effect in self.effects.values()
            if effect.harms
        ]
        return against


Versions = tuple[tuple[str, int], ...]
"""Which strategies, each in which of its versions."""


def versions(strategies: Iterable[Strategy]) -> Versions:
    """Return by what several strategies are known, whatever their order."""
    return tuple(sorted((strategy.id, strategy.version) for strategy in strategies))


def find(state: Mapping[str, Strategy], id: str) -> Strategy:
    """Return a strategy.

    Raises:
        LibraryError: there is none of that id.
    """
    if id not in state:
        near = nearest(id, list(state)) or f"; the library holds {len(state)} strategies"
        raise LibraryError(f"there is no strategy {id!r}{near}")
    return state[id]


def after(state: Mapping[str, Strategy], event: AnyEvent) -> Strategy:
    """Return the strategy that an event is about as it stands after it.

    Raises:
        LibraryError: the event contradicts what went before.
    """
    if isinstance(event, Proposed):
        return _enter(state, event)
    before = find(state, event.strategy)
    now = replace(before, revision=before.revision + 1)
    match event:
        case Decided():
            if before.merged_into is not None and event.kind == "approved":
                raise LibraryError(f"{before.id} was merged into {before.merged_into}; decide about that one")
            return replace(now, status="proposed" if event.kind == "reopened" else event.kind, decided=event)
        case Edited():
            if event.parent != before.version:
                raise LibraryError(
                    f"{before.id}: an edit of version {event.parent}, where {before.version} is the last"
                )
            return replace(
                now,
                version=before.version + 1,
                advice=event.advice,
                status="proposed",
                effects={},
                findings=None,
                decided=None,
                merged_into=None,
            )
        case Merged():
            if event.into == before.id:
                raise LibraryError(f"{before.id} cannot be merged into itself")
            return replace(now, status="retired", merged_into=find(state, event.into).id)
        case Measured():
            _refuse_unknown_version(before, event.version)
            if event.version < before.version:
                return now  # it stays in the history, but says nothing of the words of today
            return replace(now, effects={**before.effects, event.effect.measure: event.effect})
        case Checked():
            _refuse_unknown_version(before, event.version)
            return replace(now, findings=event.findings) if event.version == before.version else now
        case _:
            return now


def _enter(state: Mapping[str, Strategy], event: Proposed) -> Strategy:
    known = state.get(event.strategy)
    if known is not None:
        raise LibraryError(f"this advice is in the library already: {known.id}, {known.status}")
    return Strategy(event.strategy, 1, event.advice, "proposed", event.evidence, event.parents)


def _refuse_unknown_version(strategy: Strategy, version: int) -> None:
    if version > strategy.version:
        raise LibraryError(f"{strategy.id} has {strategy.version} versions, there is no version {version}")
