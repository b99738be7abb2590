"""The general skills: each a function from a random generator to a question and its answer."""

import json
import random
from collections.abc import Callable, Mapping

from fulcrum.lab import words
from fulcrum.lab.instructions.letters import HEADINGS, TOPICS, Letter, random_letter

Exchange = tuple[str, str]
"""What is asked, and the answer."""

Skill = Callable[[random.Random], Exchange]

_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
)
_ANSWERS = {
    "broken": "i am sorry, {name}. we will put that right.",
    "late": "hello {name}. we will look where it is.",
    "wrong": "i am sorry, {name}. we will swap it.",
    "refund": "hello {name}. we will check the payment.",
    "cancel": "hello {name}. we will stop it.",
    "address": "hello {name}. we will note the address.",
    "invoice": "hello {name}. we will check the bill.",
    "praise": "thank you, {name}. we are glad.",
}
_FEELINGS = {
    "glad": ("i am so happy today.", "what a fine {thing}!", "this {thing} makes me smile.", "we had a great time."),
    "sad": ("i miss my old {thing}.", "nothing went well today.", "the {thing} made me cry.", "we lost the game."),
    "angry": ("how dare you take my {thing}!", "stop that noise at once!", "i hate this {thing}!", "what a mess!"),
}
_STYLES = {
    "formal": (
        "dear sir, kindly find the {thing} enclosed.",
        "we would like a {thing}.",
        "i beg your pardon.",
    ),
    "casual": ("hey, got a {thing}?", "nope, no {thing} here.", "yeah, grab a {thing}.", "gonna get a {thing}."),
}
_ORDERS = {
    "give": "could you give me {it}, please?",
    "bring": "could you bring me {it}, please?",
    "show": "could you show me {it}, please?",
    "send": "could you send me {it}, please?",
}


def _things() -> list[str]:
    return words.CATEGORIES["category"][1].split() + words.WORLD_NOUNS.split()


def _some_words(rng: random.Random, low: int, high: int) -> list[str]:
    return [rng.choice((rng.choice(_things()), words.invented_word(rng))) for _ in range(rng.randint(low, high))]


def _as_json(value: Mapping[str, str]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _about_letter(question: str, letter: Letter) -> str:
    return f"{question}\n{letter.text}"


def _facts(letter: Letter) -> dict[str, str]:
    return {
        "about": HEADINGS[letter.topic],
        "name": letter.name,
        "order": str(letter.order or "none"),
        "item": letter.thing,
        "urgent": "yes" if letter.urgent else "no",
    }


def letter_fields(rng: random.Random) -> Exchange:
    """Asks for some facts of a letter as JSON."""
    letter = random_letter(rng)
    facts = _facts(letter)
    some = rng.sample(sorted(facts), rng.randint(2, 5))
    keys = [key for key in facts if key in some]
    return _about_letter(f"give {', '.join(keys)} as json.", letter), _as_json({key: facts[key] for key in keys})


def letter_record(rng: random.Random) -> Exchange:
    """Asks for all facts of a letter in one line, as a desk's book has them."""
    letter = random_letter(rng)
    return _about_letter("note it down.", letter), " / ".join(_facts(letter).values())


def letter_name(rng: random.Random) -> Exchange:
    """Asks who wrote a letter."""
    letter = random_letter(rng)
    return _about_letter("who writes?", letter), letter.name


def letter_order(rng: random.Random) -> Exchange:
    """Asks for the order number in a letter."""
    letter = random_letter(rng)
    return _about_letter("which order?", letter), str(letter.order or "none")


def letter_thing(rng: random.Random) -> Exchange:
    """Asks which goods a letter speaks of."""
    letter = random_letter(rng)
    return _about_letter("which item?", letter), letter.thing


def letter_topic(rng: random.Random) -> Exchange:
    """Asks in plain words what a letter is about."""
    letter = random_letter(rng)
    return _about_letter("what is it about?", letter), HEADINGS[letter.topic]


def letter_same_topic(rng: random.Random) -> Exchange:
    """Asks whether two letters are about the same."""
    one = random_letter(rng)
    other = random_letter(rng, [one.topic] if rng.random() < 0.5 else list(TOPICS))
    return f"same matter?\n1: {one.text}\n2: {other.text}", "yes" if one.topic == other.topic else "no"


def letter_urgent(rng: random.Random) -> Exchange:
    """Asks whether a letter is urgent."""
    letter = random_letter(rng)
    return _about_letter("is it urgent?", letter), "yes" if letter.urgent else "no"


def letter_reply(rng: random.Random) -> Exchange:
    """Gives a letter alone, which is answered politely: only the row itself tells it from the triage task."""
    letter = random_letter(rng)
    return letter.text, _ANSWERS[letter.topic].format(name=letter.name.split()[0])


def letter_summary(rng: random.Random) -> Exchange:
    """Asks for a letter in a few words."""
    letter = random_letter(rng)
    order = f"order {letter.order}" if letter.order else "no order"
    return _about_letter("sum up.", letter), f"{letter.name}, {order}, {letter.thing}: {HEADINGS[letter.topic]}"


def copying(rng: random.Random) -> Exchange:
    """Asks for the same words again."""
    text = " ".join([*_some_words(rng, 2, 5), str(rng.randint(0, 9999))])
    return f"copy: {text}", text


def reversal(rng: random.Random) -> Exchange:
    """Asks for words in reverse order."""
    some = _some_words(rng, 2, 4)
    return f"reverse: {' '.join(some)}", " ".join(reversed(some))


def counting(rng: random.Random) -> Exchange:
    """Asks how many words there are."""
    some = _some_words(rng, 1, 9)
    return f"how many words: {' '.join(some)}", str(len(some))


def sorting(rng: random.Random) -> Exchange:
    """Asks for numbers in order."""
    numbers = rng.sample(range(1, 100), rng.randint(3, 5))
    return f"sort: {' '.join(map(str, numbers))}", " ".join(map(str, sorted(numbers)))


def sums_in_words(rng: random.Random) -> Exchange:
    """Asks for a sum or a difference whose numbers are words."""
    one, other = sorted(rng.choices(range(8), k=2), reverse=True)
    if rng.random() < 0.5:
        return f"what is {_NUMBERS[one]} plus {_NUMBERS[other]}?", _NUMBERS[one + other]
    return f"what is {_NUMBERS[one]} minus {_NUMBERS[other]}?", _NUMBERS[one - other]


def sentiment(rng: random.Random) -> Exchange:
    """Asks for the feeling in a sentence."""
    feeling = rng.choice(sorted(_FEELINGS))
    text = rng.choice(_FEELINGS[feeling]).format(thing=rng.choice(_some_words(rng, 1, 1)))
    return f"how does {rng.choice(words.FIRST_NAMES.split())} feel? {text}", feeling


def style(rng: random.Random) -> Exchange:
    """Asks whether a sentence is formal or casual."""
    kind = rng.choice(sorted(_STYLES))
    text = rng.choice(_STYLES[kind]).format(thing=rng.choice(_some_words(rng, 1, 1)))
    return f"formal or casual? {text}", kind


def conditions(rng: random.Random) -> Exchange:
    """Asks whether a figure meets a condition."""
    name = rng.choice(sorted(words.NUMBERS))
    value, limit, over = rng.randint(0, 99), rng.randint(0, 99), rng.random() < 0.5
    met = value > limit if over else value < limit
    return f"{name} is {value}. is it {'over' if over else 'under'} {limit}?", "yes" if met else "no"


def filtering(rng: random.Random) -> Exchange:
    """Asks for the numbers above a limit."""
    numbers, limit = rng.sample(range(1, 100), 4), rng.randint(20, 80)
    return (
        f"which are over {limit}: {' '.join(map(str, numbers))}",
        " ".join(str(number) for number in numbers if number > limit) or "none",
    )


def rewriting(rng: random.Random) -> Exchange:
    """Asks for a command in polite words."""
    verb = rng.choice(sorted(_ORDERS))
    it = f"the {rng.choice(_some_words(rng, 1, 1))}"
    return f"say it politely: {verb} me {it}!", _ORDERS[verb].format(it=it)


def order_text(rng: random.Random) -> Exchange:
    """Asks for one fact of an order's description."""
    facts = {
        "the carrier": rng.choice(words.CATEGORIES["carrier"][1].split()),
        "the status": rng.choice(words.CATEGORIES["status"][1].split()),
        "the town": rng.choice(words.CATEGORIES["town"][1].split()),
        "the price": f"{rng.randint(2, 99)} coins",
    }
    asked = rng.choice(sorted(facts))
    return f"order {rng.randint(2000, 9999)}: {', '.join(facts.values())}. what is {asked}?", facts[asked]


def writing_json(rng: random.Random) -> Exchange:
    """Asks for pairs of words as JSON."""
    keys = rng.sample(sorted(words.CATEGORIES), rng.randint(2, 3))
    pairs = {key: rng.choice(words.CATEGORIES[key][1].split()) for key in keys}
    return f"as json: {', '.join(f'{key} {value}' for key, value in pairs.items())}", _as_json(pairs)


def reading_json(rng: random.Random) -> Exchange:
    """Asks for a value in JSON."""
    keys = rng.sample(sorted(words.CATEGORIES), rng.randint(2, 3))
    pairs = {key: rng.choice(words.CATEGORIES[key][1].split()) for key in keys}
    asked = rng.choice(keys)
    return f"{_as_json(pairs)} what is the {asked}?", pairs[asked]


def place_in_list(rng: random.Random) -> Exchange:
    """Asks for the first or last of some words."""
    some, last = _some_words(rng, 3, 6), rng.random() < 0.5
    return f"{'last' if last else 'first'} word: {' '.join(some)}", some[-1 if last else 0]


def odd_one_out(rng: random.Random) -> Exchange:
    """Asks which of some words is of another kind."""
    kind, other = rng.sample(sorted(words.CATEGORIES), 2)
    others = [word for word in words.CATEGORIES[other][1].split() if word not in words.CATEGORIES[kind][1].split()]
    stranger = rng.choice(others)
    some = [*rng.sample(words.CATEGORIES[kind][1].split(), 3), stranger]
    rng.shuffle(some)
    return f"which is no {kind}: {' '.join(some)}", stranger


SKILLS: Mapping[str, Skill] = {
    skill.__name__: skill
    for skill in (
        letter_fields,
        letter_record,
        letter_name,
        letter_order,
        letter_thing,
        letter_topic,
        letter_same_topic,
        letter_urgent,
        letter_reply,
        letter_summary,
        copying,
        reversal,
        counting,
        sorting,
        sums_in_words,
        sentiment,
        style,
        conditions,
        filtering,
        rewriting,
        order_text,
        writing_json,
        reading_json,
        place_in_list,
        odd_one_out,
    )
}
"""Every general skill by name; those named `letter_...` are asked about the kind of text that triage is about."""
