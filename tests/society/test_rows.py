"""What each agent learns: its own words only, in the paper's three kinds."""

from collections import Counter
from dataclasses import replace

import pytest

from fulcrum.society.arms import LINES
from fulcrum.society.debate import Transcript
from fulcrum.society.labels import label
from fulcrum.society.rows import TrainingRow, empty_pools, training_rows
from fulcrum.society.settings import SocietySettings
from support.debating import debate

SETTINGS = SocietySettings()


def rows(debates, line="society", vetoes=frozenset(), seed=0, **changes) -> dict[str, list[TrainingRow]]:
    settings = SETTINGS.model_copy(update=changes)
    labels = [label(one, settings, 0) for one in debates]
    return training_rows(LINES[line], debates, labels, settings, seed, vetoes)


MIXED = [debate(f"q{place}", ["7", "8", None], ["7", "7", "7"]) for place in range(4)]


def test_a_generation_agent_learns_its_own_first_answers_that_match() -> None:
    found = rows(MIXED)
    assert [row.response for row in found["generator-1"]] == ["so 7"] * 4
    assert found["generator-2"] == found["generator-3"] == []
    assert [row.prompt for row in found["generator-1"]] == [one.messages for one in MIXED]


def test_a_critic_that_never_mended_anything_learns_nothing() -> None:
    assert rows(MIXED)["critic-1"] == []  # D+ alone would teach it never to change its mind


def test_an_answer_that_cannot_be_read_is_wrong_so_mending_it_counts() -> None:
    assert [row.kind for row in rows(MIXED, w=1.0)["critic-3"]] == ["corrected"] * 4


def test_a_critic_learns_its_last_turn_after_its_own_debate() -> None:
    row = rows(MIXED, w=1.0)["critic-2"][0]
    said = [message.content for message in row.prompt]
    assert said[1] == "so 8" and "others of round 1" in said[2] and row.response == "so 7" and row.turn == 1


def test_all_turns_are_one_row_each() -> None:
    found = rows(MIXED, w=1.0, critic_loss="all")["critic-2"]
    assert sorted((row.turn, row.response) for row in found) == [(0, "so 8")] * 4 + [(1, "so 7")] * 4


def silent_after(turn: int, *rounds: list[str | None]) -> Transcript:
    """Return a debate in which nobody was told anything after a round, so that all repeat what they said in it."""
    whole = debate("q", *rounds)
    repeated = tuple(replace(said, summary="") for said in whole.rounds[turn])
    return replace(whole, rounds=(*whole.rounds[: turn + 1], repeated))


@pytest.mark.parametrize(("loss", "turns"), [("final", [1]), ("all", [0, 1])])
def test_what_a_critic_repeats_unasked_is_not_learnt(loss: str, turns: list[int]) -> None:
    whole = silent_after(1, ["8"] * 3, ["7"] * 3)
    found = rows([whole], w=1.0, critic_loss=loss)["critic-1"]
    assert [row.turn for row in found] == turns and len(found[-1].prompt) == 3
    assert rows([silent_after(0, ["7"] * 3)], w=0.0)["critic-1"] == []


def pool(corrected: int, kept: int):
    mended = [debate(f"m{place}", ["8", "8", "8"], ["7", "7", "7"]) for place in range(corrected)]
    return mended + [debate(f"k{place}", ["7", "7", "7"], ["7", "7", "7"]) for place in range(kept)]


@pytest.mark.parametrize(
    ("w", "means", "corrected", "kept", "expected"),
    [
        (0.5, "mix", 6, 40, (6, 6)),
        (0.5, "mix", 40, 6, (6, 6)),
        (0.25, "mix", 5, 100, (5, 15)),
        (1.0, "mix", 6, 40, (6, 0)),
        (0.0, "mix", 0, 40, (0, 40)),
        (0.5, "mix", 0, 40, (0, 0)),
        (0.5, "pool", 6, 40, (3, 20)),
        (0.25, "pool", 8, 40, (2, 30)),
        (0.5, "pool", 0, 40, (0, 0)),
    ],
)
def test_w_mixes_mended_and_kept(w: float, means: str, corrected: int, kept: int, expected: tuple[int, int]) -> None:
    found = Counter(row.kind for row in rows(pool(corrected, kept), w=w, w_means=means)["critic-1"])
    assert (found["corrected"], found["kept"]) == expected


@pytest.mark.parametrize(
    ("w", "corrected", "kept", "empty"),
    [(0.5, 6, 40, []), (0.5, 0, 40, ["D-"]), (0.5, 6, 0, ["D+"]), (0.5, 0, 0, ["D-", "D+"]), (1.0, 6, 0, [])],
)
def test_the_pool_that_is_empty_is_named(w: float, corrected: int, kept: int, empty: list[str]) -> None:
    debates = [*pool(corrected, kept), debate("none", ["1", "2", "3"], ["1", "2", None])]
    labels = [label(one, SETTINGS.model_copy(update={"tie": "drop"}), 0) for one in debates]
    assert empty_pools(LINES["society"], "critic-1", debates, labels, w) == empty
    assert empty_pools(LINES["society"], "generator-1", debates, labels, w) == []
    vetoes = frozenset(("critic-1", f"m{place}") for place in range(corrected))
    assert ("D-" in empty_pools(LINES["society"], "critic-1", debates, labels, w, vetoes)) == (w > 0)


def test_another_seed_draws_other_rows_and_the_same_seed_the_same() -> None:
    ids = [[row.id for row in rows(pool(6, 40), seed=seed)["critic-1"]] for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_each_agent_learns_only_what_it_said() -> None:
    debates = [debate("q", ["7", "7", "8"], ["7", "8", "7"])] * 3
    for name, own in rows(debates, w=0.5).items():
        assert all(f"{name[:-1]}{row.participant + 1}" == name == row.agent for row in own)


def test_a_question_without_label_teaches_nothing() -> None:
    found = rows([debate("q", ["1", "2", "3"], ["1", "2", "3"])], tie="drop")
    assert not any(found.values())


def test_a_single_agent_learns_the_rows_of_all_parts() -> None:
    debates = pool(6, 6)
    together = rows(debates, line="single")
    apart = rows(debates)
    assert list(together) == ["agent"]
    assert len(together["agent"]) == sum(len(own) for own in apart.values())


@pytest.mark.parametrize("line", ["no-critic", "voted", "star"])
def test_without_critics_only_first_answers_are_learnt(line: str) -> None:
    assert {row.kind for own in rows(pool(6, 6), line=line).values() for row in own} == {"generation"}


def test_a_veto_keeps_a_row_out() -> None:
    vetoed = frozenset({("generator-1", "q0"), ("critic-2", "q1")})
    found = rows(MIXED, w=1.0, vetoes=vetoed)
    assert [row.label.question_id for row in found["generator-1"]] == ["q1", "q2", "q3"]
    assert sorted(row.label.question_id for row in found["critic-2"]) == ["q0", "q2", "q3"]


def test_a_row_survives_its_file() -> None:
    for row in rows(MIXED, w=1.0)["critic-2"]:
        assert TrainingRow.from_json(row.to_json()) == row
