"""What really happened in a dialogue: what the rules of satisfaction look at, and no agent sees."""

from dataclasses import dataclass, field

from fulcrum.lab.desk.policy import Decision, Policy
from fulcrum.lab.desk.scenario import FAULTS, Scenario
from fulcrum.lab.desk.tools import Result


@dataclass
class Record:
    """A dialogue so far.

    Attributes:
        scenario: what the customer keeps to itself.
        policy: the desk's rules.
        decision: what the rules grant the customer.
        said: the agent's messages to the customer, in lower case.
        said_before_acting: how many of them the customer could answer before the first change or escalation; None
            if there was neither.
        said_while_acting: what was said in one breath with it.
        acts: what the agent's calls did to the database.
        angry: how often the customer shouted before the matter was settled.
        exchange_offered: whether the agent asked a customer who wants a refund if an exchange would do.
        repeated_questions: questions for what the customer had told already.
        not_understood: questions of the agent that the simulator could make nothing of.
        left: true once the customer is gone.
    """

    scenario: Scenario
    policy: Policy
    decision: Decision
    said: list[str] = field(default_factory=list[str])
    said_before_acting: int | None = None
    said_while_acting: str = ""
    acts: list[Result] = field(default_factory=list[Result])
    angry: int = 0
    exchange_offered: bool = False
    repeated_questions: int = 0
    not_understood: int = 0
    left: bool = False

    @property
    def first(self) -> str:
        """The agent's first message."""
        return self.said[0] if self.said else ""

    @property
    def last(self) -> str:
        """The agent's last message."""
        return self.said[-1] if self.said else ""

    @property
    def before_acting(self) -> str:
        """All that the customer could answer before the agent acted, or all that was said if it never did."""
        return " ".join(self.said[: self.said_before_acting])

    @property
    def everything(self) -> str:
        """All that the agent said."""
        return " ".join(self.said)

    @property
    def escalated(self) -> bool:
        """Whether the agent passed an order to a colleague."""
        return any(act.kind == "escalated" for act in self.acts)

    @property
    def days(self) -> int | None:
        """Days that the last change takes; None if nothing was changed."""
        return next((act.days for act in reversed(self.acts) if act.kind == "changed"), None)

    @property
    def twice_angry(self) -> bool:
        """Whether the customer shouted twice before the matter was settled."""
        return self.angry >= 2

    @property
    def at_fault(self) -> bool:
        """Whether the customer has told that the shop did something wrong."""
        scenario = self.scenario
        asked = any("why" in text or "reason" in text for text in self.said)
        return scenario.motive in FAULTS and (scenario.tells_motive or asked)

    def policy_violations(self) -> list[str]:
        """Return what the agent did against the public rules, or without being asked, one name for each act."""
        found: list[str] = []
        for act in self.acts:
            if act.order is None or act.action is None:
                continue
            objection = self.policy.objection(act.order, act.action, self.scenario.name)
            wanted = act.action == self.scenario.action or (act.action == "exchange" and self.exchange_offered)
            if objection is not None:
                found.append(f"against the {objection} rule")
            elif act.order.number != self.scenario.order or not wanted:
                found.append("unasked change")
        return found
