"""Word lists of the lab: columns with their usual values, names, and what house jargon is made of.

The shop's jargon (`SHOP_ADJECTIVES`, `SHOP_NOUNS`) shares no word with the jargon of the worlds that the
checkpoints are trained on (`WORLD_ADJECTIVES`, `WORLD_NOUNS`, invented words): no checkpoint has met a shop term.
"""

import random
from collections.abc import Sequence

CATEGORIES: dict[str, tuple[str, str]] = {
    "carrier": ("sent by {}", "van bike boat mail rail drone cart truck"),
    "status": ("marked {}", "open sent lost back done held late paid"),
    "town": ("from {}", "rome oslo bern lima kiev riga york nice bath cork turin delft"),
    "tier": ("of rank {}", "gold iron tin jade ruby opal pearl amber"),
    "category": ("for {}", "tea wool soap lamp book rope toys salt wine hats"),
    "color": ("in {}", "red blue green black white grey pink brown"),
    "maker": ("made by {}", "acme nova orion zenith delta apex vega lotus"),
    "shelf": ("kept on {}", "north south east west upper lower front rear"),
    "season": ("during {}", "spring summer autumn winter easter lent"),
    "payment": ("paid with {}", "cash card cheque coin voucher credit"),
    "crew": ("handled by {}", "ants bees crows doves eagles foxes goats hares"),
    "reason": ("because of {}", "rain fraud delay theft damage error doubt"),
    "grade": ("with mark {}", "poor fair good great prime basic"),
    "format": ("as {}", "paper disc film tape sheet scroll"),
    "language": ("written in {}", "french latin greek dutch welsh thai hindi"),
    "engine": ("driven by {}", "steam diesel petrol wind solar gas"),
    "branch": ("through {}", "harbor station market castle bridge garden chapel"),
    "source": ("found via {}", "radio friend poster search letter fair"),
}
"""Columns of words: the phrase that asks for a value, and the usual values."""

NUMBERS: dict[str, str] = {
    "days": "taking {}",
    "units": "counting {}",
    "price": "priced {}",
    "weight": "weighing {}",
    "age": "aged {}",
    "points": "scoring {}",
    "miles": "going {}",
    "pages": "reading {}",
}
"""Columns of numbers, and the phrase that asks for a range."""

FACT_TABLES: tuple[tuple[str, tuple[str, str]], ...] = (
    ("orders", ("customers", "products")),
    ("loans", ("members", "books")),
    ("trips", ("riders", "buses")),
    ("stays", ("guests", "rooms")),
    ("visits", ("patients", "doctors")),
    ("calls", ("clients", "agents")),
    ("lessons", ("pupils", "teachers")),
    ("matches", ("players", "clubs")),
    ("rentals", ("renters", "cars")),
    ("shipments", ("senders", "ships")),
    ("tickets", ("fans", "shows")),
    ("bids", ("buyers", "lots")),
)
"""Tables of events, each with the two tables of things that an event ties together."""

SHOP_ADJECTIVES = "slow soft quiet crooked silver merry hollow lucky dusty royal gentle crisp frosty noble rusty velvet"
SHOP_NOUNS = (
    "boats crumbs lantern gull whistle harbour button kettle feather pebble anchor candle thimble sparrow ribbon"
)
WORLD_ADJECTIVES = (
    "old wild brave dark deep early flat giant happy idle jolly keen loose mild narrow odd plain rapid sharp"
)
WORLD_NOUNS = (
    "otter maple canyon ladder mirror tunnel basket wagon pillow meadow engine bucket island needle orchard planet"
)

FIRST_NAMES = "ada ben cleo dan eva finn gina hugo ines jack kira liam mona nils olga paul rosa sam tara umar vera will"
LAST_NAMES = "abel berg cole dorn ekman frey gray holt innes jung kane lund moss nash otto penn quist reed stone thorn"
STREETS = "mill lane|high street|park road|lake view|church row|station road|hill walk|river bank|elm court|long acre"

_ONSETS = ("b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gr", "kl", "st")
_VOWELS = "aeiou"
_ENDS = ("", "", "n", "r", "l", "s", "k", "m", "x")


def invented_word(rng: random.Random, syllables: int = 2) -> str:
    """Return a pronounceable word that (almost surely) means nothing."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice(_ENDS)


def invented_words(rng: random.Random, count: int) -> list[str]:
    """Return `count` different invented words."""
    words: dict[str, None] = {}
    while len(words) < count:
        words[invented_word(rng, rng.choice((1, 2, 2)))] = None
    return list(words)


def phrases(rng: random.Random, adjectives: str, nouns: str, count: int) -> list[str]:
    """Return `count` different phrases of an adjective and a noun, no two with the same pair of words."""
    firsts, seconds = adjectives.split(), nouns.split()
    cells = rng.sample(range(len(firsts) * len(seconds)), count)
    return [f"{firsts[cell // len(seconds)]} {seconds[cell % len(seconds)]}" for cell in cells]


def pick(rng: random.Random, words: str | Sequence[str], count: int) -> tuple[str, ...]:
    """Return `count` different words of a list (or of a text of words)."""
    return tuple(rng.sample(words.split() if isinstance(words, str) else list(words), count))
