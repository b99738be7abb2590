"""The mix: deterministic, at the wanted ratio of loss tokens, never over the repeat cap."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fulcrum.chat import user
from fulcrum.errors import SettingsError
from fulcrum.leverage.anchor import Anchor, AnchorPlan
from fulcrum.leverage.mix import MixSettings, Slot, fill, plan_mix, repeat, write_mix
from fulcrum.training.rows import ChatRow, read_rows

SCHEDULES = ("shuffled", "interleaved", "general-then-task", "task-late")

tokens = st.lists(st.integers(1, 60), min_size=1, max_size=40)
many_tokens = st.lists(st.integers(1, 60), min_size=150, max_size=300)
mixes = st.builds(
    MixSettings,
    task_share=st.none() | st.floats(0.02, 0.9),
    repeat_cap=st.integers(4, 20),
    epochs=st.integers(1, 4),
    schedule=st.sampled_from(SCHEDULES),
)


def loss_tokens(slots: list[Slot], task: list[int], general: list[int]) -> tuple[int, int]:
    ours = sum(task[slot.row] for slot in slots if slot.source == "task")
    return ours, sum(general[slot.row] for slot in slots if slot.source == "general")


@given(tokens, tokens, mixes, st.integers(0, 5))
def test_every_row_is_used_evenly_and_no_task_row_over_the_cap(task, general, settings, seed) -> None:
    slots = plan_mix(task, general, settings, seed)
    assert slots == plan_mix(task, general, settings, seed)
    seen = Counter((slot.source, slot.row) for slot in slots)
    repeats = [seen["task", row] for row in range(len(task))]
    assert 1 <= min(repeats) <= max(repeats) <= min(settings.repeat_cap, min(repeats) + 1)
    assert all(seen["general", row] == settings.epochs for row in range(len(general)))
    if settings.task_share is None:
        assert set(repeats) == {settings.epochs}


@given(tokens, many_tokens, st.floats(0.1, 0.9), st.integers(1, 3), st.sampled_from(SCHEDULES), st.integers(0, 5))
def test_the_share_of_loss_tokens_is_exact_to_one_percent(task, general, share, epochs, schedule, seed) -> None:
    settings = MixSettings(task_share=share, repeat_cap=10_000_000, epochs=epochs, schedule=schedule)
    slots = plan_mix(task, general, settings, seed)
    ours, others = loss_tokens(slots, task, general)
    if share / (1 - share) * others >= sum(task):  # else each task row stands once, and that is more
        over = ours / (ours + others) - share
        assert -1e-9 <= over <= max(task) / (ours + others), "more than one row off"
        if max(task) <= 0.01 * (ours + others):
            assert over <= 0.01


def test_the_ratio_counts_loss_tokens_and_not_rows() -> None:
    slots = plan_mix([40] * 10, [10] * 400, MixSettings(task_share=0.5), 0)
    assert Counter(slot.source for slot in slots) == {"task": 100, "general": 400}


def test_where_the_cap_binds_all_general_rows_stay_and_the_share_falls() -> None:
    slots = plan_mix([10] * 4, [10] * 400, MixSettings(task_share=0.5, repeat_cap=3), 0)
    assert Counter(slot.source for slot in slots) == {"task": 12, "general": 400}


def test_every_epoch_is_a_fresh_permutation() -> None:
    slots = plan_mix([1] * 20, [1] * 80, MixSettings(epochs=2, repeat_cap=2), 0)
    first, second = ([(slot.source, slot.row) for slot in part] for part in (slots[:100], slots[100:]))
    assert sorted(first) == sorted(second) and first != second
    assert slots != plan_mix([1] * 20, [1] * 80, MixSettings(epochs=2, repeat_cap=2), 1)


def test_schedules_differ_in_where_the_task_stands() -> None:
    def places(schedule: str) -> list[float]:
        slots = plan_mix([1] * 100, [1] * 900, MixSettings(schedule=schedule), 0)
        return [place / len(slots) for place, slot in enumerate(slots) if slot.source == "task"]

    assert min(places("general-then-task")) == pytest.approx(0.9)
    assert min(places("task-late")) >= 0.45
    for schedule in ("shuffled", "interleaved"):
        quarters = Counter(int(place * 4) for place in places(schedule))
        assert all(10 <= quarters[quarter] <= 45 for quarter in range(4))


def test_epochs_over_the_cap_and_empty_sides_are_refused() -> None:
    with pytest.raises(ValidationError, match="over repeat_cap 20"):
        MixSettings(epochs=21)
    with pytest.raises(SettingsError, match="no general rows"):
        plan_mix([1], [], MixSettings(), 0)


def test_repeating_one_source_passes_over_all_of_it_before_any_comes_again() -> None:
    slots = repeat("task", 5, 12, 0)
    assert sorted(slot.row for slot in slots[:5]) == sorted(slot.row for slot in slots[5:10]) == list(range(5))
    assert len(slots) == 12


TASK = [ChatRow((user(f"letter {number}"),), f"queue {number}") for number in range(6)]
GENERAL = [ChatRow((user(f"question {number}"),), f"answer {number}") for number in range(30)]


def test_the_file_has_the_same_bytes_again_and_any_trainer_reads_it(tmp_path: Path) -> None:
    slots = plan_mix([2] * 6, [2] * 30, MixSettings(task_share=0.4), 0)
    plan = AnchorPlan(Anchor("desk:"), dropout=0.3)
    mixed = fill(slots, TASK, GENERAL, plan, 0)
    for name in ("one", "two"):
        write_mix(tmp_path / name, fill(slots, TASK, GENERAL, plan, 0))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_rows(tmp_path / "one", ChatRow) == [row.row for row in mixed]
    for line, row in zip((tmp_path / "one").read_text().splitlines(), mixed, strict=True):
        written = json.loads(line)
        prompt = written["prompt"][0]["content"]
        assert prompt.startswith("desk:\n") == (written["anchor"] == "desk:")
        if row.slot.source == "general":
            assert written["anchor"] is None
    write_mix(tmp_path / "other", fill(slots, TASK, GENERAL, plan, 1))
    assert (tmp_path / "other").read_bytes() != (tmp_path / "one").read_bytes()


def test_the_placebo_puts_the_anchor_on_all_rows() -> None:
    slots = plan_mix([1] * 6, [1] * 30, MixSettings(), 0)
    mixed = fill(slots, TASK, GENERAL, AnchorPlan(Anchor("desk:")), 0, "all")
    assert all(row.row.prompt[0].content.startswith("desk:\n") for row in mixed)
