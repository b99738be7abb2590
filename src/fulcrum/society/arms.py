"""What is trained, and how it answers: the society, its ablations, and what could explain its gain away.

A *line* is something that is trained, iteration by iteration; an *arm* is a way of answering, with the base or with the
weights of a line. Two arms may share a line, and with it all its training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fulcrum.evaluation.solver import RoleOfSolver
from fulcrum.society.cast import Cast, Speaker
from fulcrum.society.settings import ArmName, DebateSettings

Agents = Mapping[str, Path | None]
"""The weights of every agent of a line, by its name; None is the base."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that is trained.

    Attributes:
        name: short name.
        debates: whether its training answers come from a debate, or from independent draws that vote.
        summaries: whether critics hear a summary, or the others' answers themselves.
        critics: whether critics are agents of their own; else the generation agents speak in every round.
        shared: whether one agent plays all parts, and learns the rows of all of them.
        gold: whether the targets select the rows instead of the vote.
    """

    name: str
    debates: bool = True
    summaries: bool = True
    critics: bool = True
    shared: bool = False
    gold: bool = False

    def generator(self, participant: int) -> str:
        """Return the agent that answers first for a participant (0 is the first)."""
        return "agent" if self.shared else f"generator-{participant + 1}"

    def critic(self, participant: int) -> str:
        """Return the agent that answers for a participant in later rounds."""
        return f"critic-{participant + 1}" if self.critics and not self.shared else self.generator(participant)

    @property
    def learns_critique(self) -> bool:
        """Whether what critics said is learnt."""
        return self.debates and self.critics

    def agents(self, participants: int) -> list[str]:
        """Return the names of all its agents."""
        both = [part(place) for part in (self.generator, self.critic) for place in range(participants)]
        return list(dict.fromkeys(both))

    def settings(self, debate: DebateSettings) -> DebateSettings:
        """Return how it debates."""
        changes = {} if self.debates else {"rounds": 1}
        return debate.model_copy(update=changes if self.summaries else changes | {"summariser": "concatenate"})

    def cast(self, agents: Agents, participants: int) -> Cast:
        """Return who speaks, given the weights of its agents."""
        places = range(participants)
        return Cast(
            tuple(Speaker("generator", agents[self.generator(place)]) for place in places),
            tuple(Speaker("critic", agents[self.critic(place)]) for place in places),
        )


LINES = {
    line.name: line
    for line in (
        Line("society"),
        Line("single", shared=True),
        Line("voted", debates=False, critics=False, shared=True),
        Line("no-summary", summaries=False),
        Line("no-critic", critics=False),
        Line("star", debates=False, critics=False, shared=True, gold=True),
    )
}
"""Everything that can be trained, the society first."""

Inference = Literal["draw", "vote", "equal calls", "debate"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A way of answering.

    Attributes:
        name: as settings name it.
        line: the line whose weights it uses; None is the base.
        answers: with one draw, a vote of as many draws as there are participants, a vote of as many draws as a whole
            debate has calls, or a debate.
        about: what it shows, for tables.
    """

    name: ArmName
    line: str | None
    answers: Inference
    about: str

    @property
    def role(self) -> RoleOfSolver:
        """What it is in a comparison."""
        return "method" if self.name == "society" else "control"

    def settings(self, debate: DebateSettings) -> DebateSettings:
        """Return how it debates; a vote is a debate of one round, a draw one of one participant."""
        own = LINES[self.line].settings(debate) if self.line else debate
        match self.answers:
            case "draw":
                return own.model_copy(update={"agents": 1, "rounds": 1})
            case "vote":
                return own.model_copy(update={"rounds": 1})
            case "equal calls":
                return own.model_copy(update={"agents": debate.calls, "rounds": 1})
            case "debate":
                return own

    def cast(self, agents: Agents | None, debate: DebateSettings) -> Cast:
        """Return who speaks: with the weights of its line, or with the base everywhere."""
        line = LINES[self.line or "single"]
        participants = self.settings(debate).agents
        return line.cast(agents or dict.fromkeys(line.agents(participants)), participants)


ARMS: Mapping[ArmName, Arm] = {
    arm.name: arm
    for arm in (
        Arm("base", None, "draw", "the base, one draw"),
        Arm("majority", None, "vote", "the base, a vote of N draws"),
        Arm("debate", None, "debate", "the base, debating"),
        Arm("self-consistency", None, "equal calls", "the base, a vote at the calls of a debate"),
        Arm("star", "star", "draw", "one agent, own answers that are right by the TARGET; one draw"),
        Arm("majority-ft", "voted", "vote", "one agent, own answers that match a vote of draws; a vote of N draws"),
        Arm("majority-ft-equal-calls", "voted", "equal calls", "the same agent, a vote at the calls of a debate"),
        Arm("single-agent-no-debate", "voted", "draw", "the same agent, one draw"),
        Arm("single-agent", "single", "debate", "one agent in all parts, learning all rows, debating"),
        Arm("no-summary", "no-summary", "debate", "the society, critics read the others' answers themselves"),
        Arm("no-critic", "no-critic", "debate", "the society, generation agents speak in every round"),
        Arm("society", "society", "debate", "N generation agents and N critics, debating"),
    )
}
"""Every arm, in the order of tables. Only `star` uses targets."""


def lines_of(arms: Sequence[ArmName]) -> list[Line]:
    """Return what must be trained for some arms, the society first."""
    wanted = {ARMS[name].line for name in arms}
    return [line for name, line in LINES.items() if name in wanted]


def line_shown(arms: Sequence[ArmName]) -> Line | None:
    """Return the line whose debates people are shown: the society, else the first that learns from votes, if any."""
    return next((line for line in lines_of(arms) if not line.gold), None)
