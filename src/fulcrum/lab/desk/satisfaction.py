"""How satisfied a customer is, by rules, and what a dialogue is worth. `docs/lab/desk.md` states every rule."""

from dataclasses import dataclass

from fulcrum.lab.desk.practice import applicable
from fulcrum.lab.desk.record import Record

BEST, WORST = 5.0, 1.0
HOUSE_RULES = 3
"""So many of a shop's habits, the most important, are its house rules: to neglect one is a violation."""

MISSED_RULE, MISSED_HABIT = 1.0, 0.5
"""What it costs to neglect a house rule, and any other habit."""

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
        satisfaction: 1 to 5, in halves.
        missed: habits of the shop that applied and were neglected.
        violations: what was done against the public rules, and the house rules neglected.
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
    broken = [habit for habit in missed if habit.id in practice[:HOUSE_RULES]]
    violations = [*record.policy_violations(), *(habit.id for habit in broken)]
    satisfaction = BEST - MISSED_RULE * len(broken) - MISSED_HABIT * (len(missed) - len(broken))
    satisfaction -= REPEATED_QUESTION * record.repeated_questions
    if not success:
        satisfaction = min(satisfaction, UNSETTLED)
    satisfaction = max(WORST, satisfaction)
    return Judgement(success, satisfaction, tuple(habit.id for habit in missed), tuple(violations))
