"""Customer `a`: says little, knows the order number, takes no for an answer, and gives up soon."""

from fulcrum.lab.desk.customer import Reaction, Wording, wrong_guess
from fulcrum.lab.desk.heard import Heard
from fulcrum.lab.desk.policy import Action
from fulcrum.lab.desk.scenario import Mood, Motive, Scenario

PATIENCE = 5
"""Messages of the agent that this customer listens to; in a hurry one less."""

_GREETINGS = ("{name} here.", "it is {name}.", "this is {name}.")
_MOODS: dict[Mood, tuple[str, ...]] = {
    "calm": ("hello.", "hi."),
    "upset": ("i am not happy.", "this is bad."),
    "waiting": ("i waited for so long.", "so long a queue."),
    "hurried": ("quick please.", "be fast."),
    "furious": ("this is an outrage!", "what a lousy shop!"),
}
_WISHES: dict[Action, tuple[str, ...]] = {
    "refund": ("refund {it} please.", "i want my money back for {it}."),
    "exchange": ("exchange {it} please.", "i want a new one for {it}."),
    "cancel": ("cancel {it} please.", "i do not want {it} any more."),
    "address": ("send {it} to {address}.", "new address for {it}: {address}."),
}
_MOTIVES: dict[Motive, tuple[str, ...]] = {
    "broken": ("it is broken.", "it does not work."),
    "wrong": ("it is the wrong one.", "you sent the wrong one."),
    "late": ("it took too long.", "it is too late."),
    "mind": ("i changed my mind.", "just so."),
    "cheaper": ("i found it cheaper.", "it costs too much."),
}
_STILL_FURIOUS = ("i have had enough!", "get on with it!")


class TerseCustomer:
    """A customer of few words.

    Args:
        scenario: what it wants and how it feels.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._words = Wording(scenario.wording)
        self._patience = PATIENCE - (scenario.mood == "hurried")

    def opening(self) -> str:
        """Return who it is, how it feels, what it wants, perhaps why."""
        scenario = self._scenario
        told = scenario.memory == "tells"
        parts = [self._words(_GREETINGS, name=scenario.name), self._words(_MOODS[scenario.mood])]
        parts.append(self._wish(f"order {scenario.order}" if told else f"my {scenario.item}"))
        if scenario.motive and scenario.tells_motive:
            parts.append(self._words(_MOTIVES[scenario.motive]))
        return " ".join(parts)

    def react(self, heard: Heard, *, noticed: bool) -> Reaction:
        """Answer what was asked, leave when told how it ends or when patience ends."""
        self._patience -= 1
        if not heard.wants_answer and (noticed or heard.claims or heard.refuses):
            return Reaction(self._words(("bye.", "ok bye.")), leaves=True)
        if self._patience <= 0:
            return Reaction(self._words(("too slow. i leave.", "enough. i leave.")), leaves=True)
        answers = self._answers(heard)
        understood = bool(answers)
        if not answers:
            waits = heard.asks_patience and not heard.wants_answer
            answers = ["ok."] if waits else ["what?", self._wish(f"order {self._scenario.order}")]
            understood = waits or not heard.odd_question
        if self._scenario.mood == "furious":
            answers.append(self._words(_STILL_FURIOUS))
        return Reaction(" ".join(answers), understood=understood)

    def _answers(self, heard: Heard) -> list[str]:
        scenario, answers = self._scenario, list[str]()
        if heard.asks_to_go_on and wrong_guess(heard, scenario):
            return ["no.", self._wish(f"order {scenario.order}")]
        if heard.asks_name:
            answers.append(f"{scenario.name}.")
        if heard.asks_number:
            answers.append(self._words(("{order}.", "order {order}."), order=scenario.order))
        if heard.asks_to_go_on:
            answers.append(self._words(("yes.", "yes it is.")))
        if heard.asks_address:
            answers.append(f"{scenario.address}." if scenario.address else "the old one.")
        if heard.asks_reason:
            answers.append(self._words(_MOTIVES[scenario.motive]) if scenario.motive else "i moved.")
        if heard.offers_exchange and scenario.action == "refund":
            answers.append("ok, exchange it." if scenario.takes_exchange else "no, refund it.")
        elif heard.offers_exchange:
            answers.append("yes." if scenario.action == "exchange" else "no.")
        return answers

    def _wish(self, it: str) -> str:
        return self._words(_WISHES[self._scenario.action], it=it, address=self._scenario.address)
