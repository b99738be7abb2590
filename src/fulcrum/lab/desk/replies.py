"""The words of an agent made of rules: what it must say anyhow, and what each habit adds to it.

What is said anyhow keeps no habit by accident: it names no wish and no name (a customer may be called Will), thanks for
nothing, and is never short.
"""

from collections.abc import Collection

from fulcrum.lab.desk.policy import Policy, Reason
from fulcrum.lab.desk.practice import SHORT
from fulcrum.lab.desk.tools import in_days
from fulcrum.lab.desk.view import View

_WISHES = {
    "refund": "you want a refund.",
    "exchange": "you want an exchange.",
    "cancel": "you want to cancel.",
    "address": "you want a new address.",
}


class Replies:
    """Writes the agent's messages in one situation.

    Args:
        view: the dialogue so far.
        habits: ids of the habits to follow.
    """

    def __init__(self, view: View, habits: Collection[str]) -> None:
        self._view = view
        self._habits = habits
        self._short = SHORT in habits and view.hurried

    def ask_number(self) -> str:
        """Return the question for the order number."""
        return self._message("order number?" if self._short else "what is your order number?")

    def ask_first(self) -> str:
        """Return the questions that the habits want asked before anything is changed; none gives an empty text."""
        view, questions = self._view, list[str]()
        if "confirm_order_number" in self._habits:
            questions.append(f"order {view.number}, right?" if self._short else f"is order {view.number} right?")
        if "ask_reason" in self._habits and view.action != "address" and not view.reason:
            questions.append("why?" if self._short else "may i ask why?")
        if "offer_exchange_first" in self._habits and view.action == "refund":
            questions.append("exchange instead?" if self._short else "would you like an exchange instead?")
        return self._message(*questions) if questions else ""

    def announce(self) -> str:
        """Return what is said beside a call that changes or escalates; empty without the habit."""
        announces = "state_next_step" in self._habits and not self._short
        return self._message("i am going to see to it.") if announces else ""

    def report_change(self) -> str:
        """Return the news that it is done."""
        view, days = self._view, self._view.days
        if days is None:
            raise ValueError("nothing was changed in this dialogue, so there is no change to report")
        news = "all is done for order {} and a note about it comes to you by mail."
        parts = [("order {} is done." if self._short else news).format(view.number)]
        if view.asks_days or ("give_days" in self._habits and not self._short):
            parts.append(f"it takes {in_days(days)}.")
        return self._message(*parts, closing=True)

    def report_escalation(self, rule: Reason | None) -> str:
        """Return the news that a colleague takes over, because of a rule or of the customer's anger."""
        news = "a colleague now looks at order {} and writes to you by mail very soon."
        parts = ["a colleague takes over." if self._short else news.format(self._view.number)]
        return self._message(*parts, *self._rule(rule), closing=True)

    def refuse(self, rule: Reason | None) -> str:
        """Return the news that it cannot be done, because of a rule or, without one, for no reason that is known."""
        refusal = "i am afraid that this cannot be done for order {} so please do understand."
        parts = ["this cannot be done." if self._short else refusal.format(self._view.number), *self._rule(rule)]
        if "offer_voucher" in self._habits and not self._short:
            parts.append("we offer you a voucher.")
        return self._message(*parts, closing=True)

    def _rule(self, rule: Reason | None) -> list[str]:
        if rule is None or "explain_policy" not in self._habits:
            return []
        return [f"rule: {_rule_in_words(rule, self._view)}."]

    def _message(self, *core: str, closing: bool = False) -> str:
        """Return the core of a message with what the habits put before and after it."""
        if self._short:
            return " ".join(core)
        return " ".join([*self._before(), *core, *(self._after() if closing else [])])

    def _before(self) -> list[str]:
        view, habits, parts = self._view, self._habits, list[str]()
        if view.spoken == 0:
            sorry = "apologise_first" in habits and (view.upset or view.shouts > 0)
            greeting = ["sorry"] * sorry + [view.first_name] * ("name_the_customer" in habits)
            parts += [f"{' '.join(greeting)}."] * bool(greeting)
            parts += ["thank you for waiting."] * ("thank_for_patience" in habits and view.waited)
            parts += [_WISHES[view.action]] * ("repeat_request" in habits)
        if "avoid_blame" in habits and view.fault and not view.blame_taken:
            parts.append("that is our fault.")
        return parts

    def _after(self) -> list[str]:
        parts = ["anything else?"] * ("close_with_question" in self._habits)
        return parts + [f"{self._view.policy.clerk}."] * ("sign_with_name" in self._habits)


def _rule_in_words(rule: Reason, view: View) -> str:
    policy: Policy = view.policy
    match rule:
        case "owner":
            return "own orders only"
        case "limit":
            return f"over {policy.limit} a colleague decides"
        case "status":
            return f"only if {' or '.join(policy.statuses_for(view.action))}"
