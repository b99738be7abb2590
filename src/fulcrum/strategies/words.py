"""Words: what retrieval compares, and what tells one set of situations from another."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from fulcrum.scripts import UNSPACED

ALTERNATIVE = " | "
"""Stands between the situations in which one strategy applies."""

EVERYWHERE = "any dialogue"
"""Scenario of a strategy that applies at every turn."""

_REMEMBERED = 20_000
"""Texts of which what was found is kept: each strategy is compared with every other."""

_NEGATION = re.compile(r"\b(?:not|no|never|neither|without|avoid|refrain|skip|stop)\b|n't\b")
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\uff07", "''''")
_LETTERS, _SIGNS = rf"[^\W\d_{UNSPACED}]+", rf"[^\W{UNSPACED}]+"
_WORD = re.compile(rf"{_LETTERS}(?:[-']{_LETTERS})*|[{UNSPACED}]+")
_EVERY_WORD = re.compile(rf"{_SIGNS}(?:[-']{_SIGNS})*|[{UNSPACED}]")
_EMPTY_WORDS = """
a an and are as at be been but by can do does for from had has have he her him his i if in into is it its me my no not
of on or our she so than that the their them then they this to up us was we were what when which who will with would
you your please customer agent
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())


def plain(text: str) -> str:
    """Return text in lower case and with straight apostrophes, so that `Don\u2019t` meets `don't`."""
    return text.lower().translate(_APOSTROPHES)


def words(text: str) -> list[str]:
    """Return the words that carry meaning, lower-case; numbers name one dialogue and are left out.

    In place of words, scripts without spaces give every two characters in a row, which needs no dictionary.
    """
    return [part for word in _WORD.findall(plain(text)) if word not in _EMPTY for part in _parts(word)]


def _parts(word: str) -> list[str]:
    if len(word) < 3 or not unspaced(word):
        return [word]
    return [word[start : start + 2] for start in range(len(word) - 1)]


def unspaced(text: str) -> bool:
    """Return whether a text is in a script without spaces, in part at least."""
    return re.search(f"[{UNSPACED}]", text) is not None


def every_word(text: str) -> list[str]:
    """Return all words and numbers of a text in their order, lower-case; of scripts without spaces every character."""
    return _EVERY_WORD.findall(plain(text))


@lru_cache(_REMEMBERED)
def tokens(text: str) -> tuple[str, ...]:
    """Return the words that carry meaning without their endings, so that `waited` meets `waiting`."""
    return tuple(_stem(word) for word in words(text))


def _stem(word: str) -> str:
    stem = word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
    for ending in ("ing", "ed", "e"):
        if stem.endswith(ending) and len(stem) - len(ending) >= 3:
            return stem[: -len(ending)]
    return stem


@lru_cache(_REMEMBERED)
def negations(text: str) -> int:
    """Return how many words turn a sentence round."""
    return len(_NEGATION.findall(plain(text)))


@lru_cache(_REMEMBERED)
def numbers(text: str) -> tuple[str, ...]:
    """Return the numbers in a text, in order of size as text."""
    return tuple(sorted(re.findall(r"\d+", text)))


def overlap(one: str, other: str) -> float:
    """Return the share of words that two texts have in common, 0..1 (Jaccard)."""
    first, second = set(tokens(one)), set(tokens(other))
    return len(first & second) / len(first | second) if first | second else 1.0


def extends(one: str, other: str) -> bool:
    """Return whether either of two texts is the other with something put in, endings and empty words aside.

    What is put in may turn the sense round, in any language: `nicht`, the k of `keine`, the un of `unkind`.
    """
    shorter, longer = sorted(("".join(tokens(one)), "".join(tokens(other))), key=len)
    letters = iter(longer)
    return shorter != longer and all(letter in letters for letter in shorter)


def telling_places(inside: Sequence[str], everywhere: Sequence[str]) -> list[str]:
    """Return the places where situations arise, if there are others; an empty list if it may be any.

    They are those that have at least half as large a share of their situations inside as the place that has the
    largest. That is a guess to be tried, and hardly ever too wide; what it leaves out may be added later.

    Args:
        inside: the place of each of some situations.
        everywhere: the place of each situation there is, those of `inside` among them.
    """
    total, found = Counter(everywhere), Counter(inside)
    shares = {place: found[place] / total[place] for place in total}
    chosen = sorted(place for place, share in shares.items() if share >= 0.5 * max(shares.values()))
    return chosen if len(chosen) < len(total) else []


def telling_words(
    inside: Sequence[Sequence[str]], everywhere: Sequence[Sequence[str]], most: int = 6, chance: float = 0.05
) -> list[str]:
    """Return words by which situations are known, until they cover all but a tenth of `inside`.

    Each is the word that marks most of the situations that no earlier word marks, among those that would hardly stand
    in so many of these by chance (hypergeometric test, Bonferroni's correction for the number of words). An empty list
    means that nothing sets the situations apart.

    Args:
        inside: the words of each of some situations.
        everywhere: the words of each situation there is, those of `inside` among them.
        most: no more words than this.
        chance: greatest probability that any word stands so often in as many situations, drawn without regard to words.
    """
    import scipy.stats

    at_least = cast(Any, scipy.stats.hypergeom).sf
    total, size = _frequencies(everywhere), len(everywhere)
    open_ones = [set(words) for words in inside]
    found: list[str] = []
    while len(open_ones) > 0.1 * len(inside) and len(found) < most:
        counts = _frequencies(open_ones)
        likely = {word: float(at_least(count - 1, size, total[word], len(open_ones))) for word, count in counts.items()}
        telling = [word for word in counts if likely[word] * len(counts) <= chance]
        best = max(telling, key=lambda word: (counts[word] - len(open_ones) * total[word] / size, word), default=None)
        if best is None:
            break
        found.append(best)
        open_ones = [words for words in open_ones if best not in words]
    covered = 1 - len(open_ones) / len(inside)
    return found if covered >= 0.6 else []


def _frequencies(texts: Sequence[Sequence[str]] | Sequence[set[str]]) -> Counter[str]:
    return Counter(word for words in texts for word in set(words))
