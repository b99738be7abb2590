"""From debates and labels to what each agent learns, every row with the debate and the vote that put it there."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from fulcrum.chat import Message
from fulcrum.hashing import content_hash, seed_from
from fulcrum.society.arms import Line
from fulcrum.society.debate import Transcript, asked, conversation
from fulcrum.society.labels import PseudoLabel
from fulcrum.society.settings import SocietySettings
from fulcrum.training.rows import ChatRow

Kind = Literal["generation", "corrected", "kept"]
"""A generation agent's own answer that matches the label; a critic's trajectory whose first answer was wrong and whose
last matches (D-); one in which both match (D+)."""

Vetoes = frozenset[tuple[str, str]]
"""Agent and question of every trajectory that a person does not want to be learnt."""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One answer that an agent learns, and why.

    Attributes:
        agent: who learns it.
        participant: who said it (0 is the first).
        turn: in which round (0 is the first).
        kind: which part of the agent's data it is.
        label: the label that it had to match, with its votes.
        prompt: what the participant saw.
        response: what it said.
    """

    agent: str
    participant: int
    turn: int
    kind: Kind
    label: PseudoLabel
    prompt: tuple[Message, ...]
    response: str

    @property
    def id(self) -> str:
        """Content hash: the row's name for `fulcrum society why`."""
        return content_hash(self.to_json(), 12)

    @property
    def chat(self) -> ChatRow:
        """The row as a trainer takes it."""
        return ChatRow(self.prompt, self.response)

    def to_json(self) -> dict[str, Any]:
        """Return the row as one line of `rows.jsonl`."""
        return {
            "agent": self.agent,
            "participant": self.participant,
            "turn": self.turn,
            "kind": self.kind,
            "label": self.label.to_json(),
            **self.chat.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        chat, label = ChatRow.from_json(dict(data)), PseudoLabel.from_json(data["label"])
        return cls(data["agent"], data["participant"], data["turn"], data["kind"], label, chat.prompt, chat.response)


def training_rows(
    line: Line,
    debates: Sequence[Transcript],
    labels: Sequence[PseudoLabel],
    settings: SocietySettings,
    seed: int,
    vetoes: Vetoes = frozenset(),
) -> dict[str, list[TrainingRow]]:
    """Return the rows of every agent of a line, each from its own debates only.

    Args:
        line: whose agents learn.
        debates: the transcripts of an iteration.
        labels: their labels, in the same order.
        settings: `w`, `w_means`, `critic_loss` and the templates.
        seed: of the draw from D- and D+.
        vetoes: what a person wants left out.
    """
    participants = range(len(debates[0].first))
    rows: dict[str, list[TrainingRow]] = {agent: [] for agent in line.agents(len(participants))}
    for participant in participants:
        agent = line.generator(participant)
        rows[agent] += [
            TrainingRow(agent, participant, 0, "generation", label, debate.messages, said.completion.text)
            for debate, label in zip(debates, labels, strict=True)
            for said in [debate.first[participant]]
            if label.answer is not None and said.key == label.answer and (agent, label.question_id) not in vetoes
        ]
    for participant in participants if line.learns_critique else ():
        agent = line.critic(participant)
        pools: dict[Kind, list[list[TrainingRow]]] = {"corrected": [], "kept": []}
        for debate, label in zip(debates, labels, strict=True):
            if kind := _pool(agent, participant, debate, label, vetoes):
                pools[kind].append(_trajectory(agent, participant, kind, debate, label, settings))
        chosen = _mix(pools["corrected"], pools["kept"], settings, seed_from(seed, agent, participant))
        rows[agent] += [row for trajectory in chosen for row in trajectory]
    return rows


def empty_pools(
    line: Line,
    agent: str,
    debates: Sequence[Transcript],
    labels: Sequence[PseudoLabel],
    w: float,
    vetoes: Vetoes = frozenset(),
) -> list[str]:
    """Return which of D- and D+ have nothing in them, of those from which an agent's rows as a critic are drawn."""
    parts = [place for place in range(len(debates[0].first)) if line.critic(place) == agent]
    if not parts or not line.learns_critique:
        return []
    found = {
        _pool(agent, participant, debate, label, vetoes)
        for participant in parts
        for debate, label in zip(debates, labels, strict=True)
    }
    pools = (("corrected", "D-", w), ("kept", "D+", 1 - w))
    return [name for kind, name, share in pools if share > 0 and kind not in found]


def _pool(
    critic: str, participant: int, debate: Transcript, label: PseudoLabel, vetoes: Vetoes
) -> Literal["corrected", "kept"] | None:
    """Return whether a critic's debate is of D- or of D+; None if it teaches the critic nothing."""
    first, last = debate.first[participant], debate.last[participant]
    if label.answer is None or last.key != label.answer or (critic, label.question_id) in vetoes:
        return None
    if len(asked(debate.track(participant))) == 1:
        return None  # it heard nobody, so it was never asked as a critic
    return "kept" if first.key == label.answer else "corrected"


def _trajectory(
    agent: str, participant: int, kind: Kind, debate: Transcript, label: PseudoLabel, settings: SocietySettings
) -> list[TrainingRow]:
    """Return a critic's debate as rows: the last turn in which it was asked, or one row for each of these."""
    said = asked(debate.track(participant))
    prompts = conversation(debate.messages, said.values(), settings.debate.update)
    rows = [
        TrainingRow(agent, participant, turn, kind, label, prompt, one.completion.text)
        for (turn, one), prompt in zip(said.items(), prompts, strict=True)
    ]
    return rows if settings.critic_loss == "all" else rows[-1:]


def _mix(
    corrected: Sequence[list[TrainingRow]], kept: Sequence[list[TrainingRow]], settings: SocietySettings, seed: int
) -> list[list[TrainingRow]]:
    """Draw from D- and D+ by weight.

    `mix`: as many as there can be so that the share `w` is from D-. `pool`: the share `w` of D- and `1 - w` of D+. An
    empty D- with a weight leaves nothing, so that the critic keeps its weights: what is left would teach it never
    to change its mind.
    """
    w = settings.w
    if w > 0 and not corrected:
        return []
    if settings.w_means == "pool":
        counts = round(w * len(corrected)), round((1 - w) * len(kept))
    else:
        limits = [len(pool) / share for pool, share in ((corrected, w), (kept, 1 - w)) if share > 0]
        total = min(limits)
        counts = round(w * total), round((1 - w) * total)
    generator = random.Random(seed)
    return generator.sample(list(corrected), counts[0]) + generator.sample(list(kept), counts[1])
