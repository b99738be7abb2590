"""Customer `b`: polite and wordy, may have lost the order number, pleads once, asks how long it takes."""

from fulcrum.lab.desk.customer import Reaction, Wording, wrong_guess
from fulcrum.lab.desk.heard import Heard
from fulcrum.lab.desk.scenario import Scenario

PATIENCE = 7
"""Messages of the agent that this customer listens to; those that are beside the point count double."""

_WISHES = {
    "refund": ("could you give me a refund for {it}?", "i would like to get the money back for {it}."),
    "exchange": ("could you swap {it} for a new one?", "i would like an exchange for {it}."),
    "cancel": ("could you call off {it}?", "i would like to cancel {it}."),
    "address": ("could you bring {it} to {address}?", "i would like to have {it} delivered to {address}."),
}
_MOODS = {
    "calm": ("i hope you are well.", "lovely weather today."),
    "upset": ("i am really let down.", "i had hoped for better."),
    "waiting": ("i have been on hold for ages.", "i have been in the queue since noon."),
    "hurried": ("my bus leaves soon.", "i only have a minute."),
    "furious": ("nobody has ever treated me so badly!", "you should be ashamed!"),
}
_MOTIVES = {
    "broken": ("it came in pieces.", "there is a crack in it."),
    "wrong": ("it is not what i chose.", "somebody packed the wrong thing."),
    "late": ("it should have been here weeks ago.", "it took for ever."),
    "mind": ("i no longer need it.", "i thought about it again."),
    "cheaper": ("another shop asks less.", "my friend paid less for it."),
}
_STILL_FURIOUS = ("how much longer will you make me suffer!", "never in my life, really!")


class ChattyCustomer:
    """A customer of many words.

    Args:
        scenario: what it wants and how it feels.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._words = Wording(scenario.wording)
        self._patience = PATIENCE
        self._pleaded = False
        self._asked_days = False

    def opening(self) -> str:
        """Return a greeting, the wish, perhaps why, and how it feels."""
        scenario = self._scenario
        it = f"order {scenario.order}" if scenario.memory == "tells" else f"my {scenario.item}"
        parts = [self._words(("good day, my name is {name}.", "hello there, i am {name}."), name=scenario.name)]
        parts.append(self._words(_WISHES[scenario.action], it=it, address=scenario.address))
        if scenario.motive and scenario.tells_motive:
            parts.append(self._words(_MOTIVES[scenario.motive]))
        parts.append(self._words(_MOODS[scenario.mood]))
        return " ".join(parts)

    def react(self, heard: Heard, *, noticed: bool) -> Reaction:
        """Answer, plead once against a refusal, ask once how long it takes, then take leave."""
        self._patience -= 1
        if heard.wants_answer:
            reaction = self._answer(heard)
        elif noticed:
            reaction = self._take_notice(heard)
        elif heard.refuses:
            reaction = self._plead()
        elif heard.claims:
            reaction = self._farewell()
        elif heard.asks_patience:
            reaction = Reaction("sure, i will hold the line.")
        else:
            reaction = self._at_a_loss(understood=True)
        if reaction.leaves:
            return reaction
        if self._patience <= 0:
            return Reaction("i am sorry, i have no more time for this. goodbye.", leaves=True)
        if self._scenario.mood == "furious":
            return Reaction(f"{reaction.text} {self._words(_STILL_FURIOUS)}", understood=reaction.understood)
        return reaction

    def _answer(self, heard: Heard) -> Reaction:
        scenario, answers = self._scenario, list[str]()
        if heard.asks_to_go_on and wrong_guess(heard, scenario):
            return self._at_a_loss(understood=True)
        if heard.asks_to_go_on:
            answers.append(self._words(("yes, that is right.", "yes, please do.")))
        if heard.asks_number and scenario.memory == "lost":
            answers.append(f"i lost the number, but it was the {scenario.item}.")
        elif heard.asks_number:
            answers.append(f"let me see, it is order {scenario.order}.")
        if heard.asks_name:
            answers.append(f"i am {scenario.name}.")
        if heard.asks_address:
            answers.append(f"to {scenario.address}, please." if scenario.address else "to where i live.")
        if heard.asks_reason:
            answers.append(self._words(_MOTIVES[scenario.motive]) if scenario.motive else "we have a new home.")
        if heard.offers_exchange and scenario.action == "refund" and scenario.takes_exchange:
            answers.append("an exchange is fine with me.")
        elif heard.offers_exchange and scenario.action == "refund":
            answers.append("no, i would rather have the money.")
        elif heard.offers_exchange:
            answers.append("yes, please." if scenario.action == "exchange" else "no, thank you.")
        return Reaction(" ".join(answers)) if answers else self._at_a_loss(understood=False)

    def _take_notice(self, heard: Heard) -> Reaction:
        if heard.tells_days or heard.hands_over or self._asked_days:
            return self._farewell()
        self._asked_days = True
        return Reaction("and how many days will that take?")

    def _farewell(self) -> Reaction:
        return Reaction(self._words(("thank you, that is all.", "thanks for the help, goodbye.")), leaves=True)

    def _plead(self) -> Reaction:
        if self._pleaded:
            return Reaction("well, what a pity. goodbye.", leaves=True)
        self._pleaded = True
        return Reaction("can you really do nothing for me?")

    def _at_a_loss(self, *, understood: bool) -> Reaction:
        self._patience -= 1
        wish = self._words(_WISHES[self._scenario.action], it=self._it(), address=self._scenario.address)
        return Reaction(f"i do not follow. {wish}", understood=understood)

    def _it(self) -> str:
        scenario = self._scenario
        return f"my {scenario.item}" if scenario.memory == "lost" else f"order {scenario.order}"
