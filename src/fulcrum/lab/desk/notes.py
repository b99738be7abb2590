"""Notes on what to say next at a desk, in the eight forms of a supplement. Whether its shop wants that is not known."""

import random
from collections.abc import Collection, Sequence

from fulcrum.chat import Message, assistant, user
from fulcrum.lab import prompts
from fulcrum.lab.desk.corpus import guided_dialogue, without_guidance, without_tools
from fulcrum.lab.desk.expert import reply
from fulcrum.lab.desk.practice import HABITS, PARAPHRASES
from fulcrum.lab.notes import FORMS, header

_LINES = {1: 2, 2: 3, 3: 3, 4: 2}
"""How many habits a note names, with weights."""

_NOTES_A_TURN = 3

_BY_EXAMPLE = ("answer", "one_shot")
"""Forms of a note that show a reply; the others advise habits, one a line."""


def desk_notes(rng: random.Random) -> list[Message]:
    """Return a dialogue in a random world, and some notes written for its next reply, each in another form.

    What the notes advise is drawn from what could change that reply: the writer knows what may be wanted at a desk, and
    no shop's wishes. For a turn at which nothing could be wanted it mostly says nothing.
    """
    dialogue = guided_dialogue(rng)
    places = [place for place, message in enumerate(dialogue) if message.role == "assistant"]
    messages = without_guidance(dialogue[: rng.choice(places)])
    fitting = fitting_habits(messages)
    # Half of the prompts are short: from those more is learnt in the time.
    turns = list(without_tools(messages) if rng.random() < 0.5 else messages)
    for place in range(_NOTES_A_TURN):
        form = rng.choice(FORMS)
        asked = prompts.WRITE_SUPPLEMENT if rng.random() < 0.6 else prompts.WRITE_ANY_SUPPLEMENT
        if asked is prompts.WRITE_ANY_SUPPLEMENT and rng.random() < (0.05 if fitting else 0.8):
            form = "none"
        said = "" if place or turns[-1].role != "user" else turns.pop().content
        wanted = rng.sample(fitting, min(len(fitting), rng.choices(list(_LINES), list(_LINES.values()))[0]))
        note = header(form)
        if form != "none":
            note += f"\n{write_desk_note(rng, form, messages, wanted or rng.sample(tuple(HABITS), 1))}"
        turns += [user(asked.format(prompt=said, form=form).lstrip()), assistant(note)]
    return turns


def fitting_habits(messages: Sequence[Message]) -> list[str]:
    """Return the habits that change the next reply, each taken up on its own.

    Raises:
        ValueError: these messages are no dialogue at the desk.
    """
    alone = reply(messages, ())
    return [habit for habit in HABITS if reply(messages, (habit,)) != alone]


def write_desk_note(rng: random.Random, form: str, messages: Sequence[Message], habits: Collection[str]) -> str:
    """Return a note in one of `FORMS`, without its header, that advises some habits.

    Raises:
        ValueError: the form needs the next reply, and these messages are no dialogue at the desk.
    """
    if form in _BY_EXAMPLE:
        said = reply(messages, habits)
        return said if form == "answer" else f"for example: {said}"
    return "\n".join(f"- {rng.choice(_wordings(form, id))}" for id in habits)


def advised_habits(form: str, note: str) -> list[set[str]]:
    """Return which habits each line of a note may advise; none if it is no advice in this form."""
    if form in _BY_EXAMPLE:
        return []
    return [{id for id in HABITS if line.removeprefix("- ") in _wordings(form, id)} for line in note.split("\n")]


def _wordings(form: str, id: str) -> Sequence[str]:
    habit = HABITS[id]
    match form:
        case "rephrase":
            return PARAPHRASES[id]
        case "cot":
            return (f"{habit.when}, so {habit.do}.",)
        case "mistakes":
            return (f"do not forget: {habit.do}.",)
        case "pairs":
            return (f"right: {habit.do}, wrong: not to.",)
        case "summary":
            return (f"{habit.do}.",)
        case _:
            return (habit.advice,)
