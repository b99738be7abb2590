"""How satisfied a customer is, by rules, and what a dialogue is worth. `docs/lab/desk.md` states every rule."""

from collections.abc import Collection
from dataclasses import dataclass

from fulcrum.lab.desk.practice import applicable
from fulcrum.lab.desk.record import Record

BEST, WORST = 5.0, 1.0
MISSED_FIRST_HALF, MISSED_SECOND_HALF = 0.75, 0.5
"""What a neglected habit costs: the shop's more important half, the other half."""

REPEATED_QUESTION = 0.5
"""What it costs to ask again for what the customer has told."""

UNSETTLED = 2.0
"""The most satisfied that a customer can be who did not get what was due."""

VIOLATION = 0.1
"""What a violation takes off the worth of a dialogue."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a dialogue.

    Attributes:
        success: whether the database ended as it should.
        satisfaction: 1 to 5, in quarters.
        missed: habits of the shop that applied and were neglected.
        violations: what was done against the rules, and binding habits neglected.
    """

    success: bool
    satisfaction: float
    missed: tuple[str, ...]
    violations: tuple[str, ...]

    @property
    def value(self) -> float:
        """Half for success, half for satisfaction, less what the violations take off; 0 to 1."""
        worth = 0.5 * self.success + 0.5 * (self.satisfaction - WORST) / (BEST - WORST)
        return max(0.0, worth - VIOLATION * len(self.violations))


def judge(record: Record, practice: tuple[str, ...], success: bool) -> Judgement:
    """Judge a finished dialogue of a shop with this practice (most important habit first)."""
    missed = [habit for habit in applicable(record, practice) if not habit.kept(record)]
    violations = [*record.policy_violations(), *(habit.id for habit in missed if habit.binding)]
    satisfaction = BEST - sum(_cost(habit.id, practice) for habit in missed)
    satisfaction -= REPEATED_QUESTION * record.repeated_questions
    if not success:
        satisfaction = min(satisfaction, UNSETTLED)
    satisfaction = max(WORST, satisfaction)
    return Judgement(success, satisfaction, tuple(habit.id for habit in missed), tuple(violations))


def _cost(habit: str, practice: Collection[str]) -> float:
    first_half = list(practice)[: len(practice) // 2]
    return MISSED_FIRST_HALF if habit in first_half else MISSED_SECOND_HALF
