"""Which strategies fit a turn: words of the dialogue against the scenarios of the library, or nothing at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from fulcrum.lazy import load
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.settings import RetrievalSettings
from fulcrum.strategies.wording import Situation
from fulcrum.strategies.words import ALTERNATIVE, EVERYWHERE, tokens

Scores = NDArray[np.float64]

_REMEMBERED = 20_000
"""Most texts of which vectors are kept."""


@dataclass(frozen=True, slots=True)
class Match:
    """A strategy that fits, and how well, 0..1."""

    strategy: Strategy
    score: float


class Index(Protocol):
    """Compares one situation with every scenario."""

    def scores(self, situation: Situation) -> Scores:
        """Return how much of each scenario the situation holds, 0..1."""
        ...


class Retriever:
    """Finds the strategies for a turn.

    A scenario may hold several situations with ` | ` between them: the best of them counts. One of them may be `any
    dialogue`: the strategy applies at every turn, after all that fit better. Where nothing reaches the threshold the
    retriever abstains.

    Args:
        strategies: what may be served.
        settings: how many, and from which score on.
        beside: strategies that only weigh words: what is rare among all scenarios tells most. A strategy that is tried
            alone then fits the same turns as in their library.
    """

    def __init__(
        self, strategies: Sequence[Strategy], settings: RetrievalSettings, *, beside: Sequence[Strategy] = ()
    ) -> None:
        self.strategies = tuple(strategies)
        self.settings = settings
        self._everywhere = [applies_everywhere(strategy.advice.scenario) for strategy in strategies]
        situations = [
            (number, text)
            for number, strategy in enumerate([*strategies, *beside])
            for text in strategy.advice.scenario.split(ALTERNATIVE)
            if not applies_everywhere(text)
        ]
        self._owner = [number for number, _ in situations if number < len(strategies)]
        self._texts = [text for _, text in situations]

    def retrieve(self, situation: Situation) -> list[Match]:
        """Return the strategies that fit, the best first; of equal ones that which helped most in its trial."""
        best = [0.0] * len(self.strategies)
        if self._owner:
            for owner, score in zip(self._owner, self._index.scores(situation), strict=False):
                best[owner] = max(best[owner], float(score))
        matches = [
            Match(strategy, score)
            for strategy, score, everywhere in zip(self.strategies, best, self._everywhere, strict=True)
            if score >= self.settings.threshold or everywhere
        ]
        return sorted(matches, key=lambda match: (-match.score, -_helped(match)))[: self.settings.top_k]

    @cached_property
    def _index(self) -> Index:
        if self.settings.embeddings is None:
            return WordIndex(self._texts)
        return MeaningIndex(self._texts, _encoder(self.settings.embeddings))


def applies_everywhere(scenario: str) -> bool:
    """Return whether one of a scenario's situations is any dialogue."""
    situations = scenario.casefold().split(ALTERNATIVE)
    return any(situation.strip().removesuffix(".") == EVERYWHERE for situation in situations)


class WordIndex:
    """BM25 over the words of scenarios; a score is the share of the scenario's own weight that the situation holds."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        self._documents = [tokens(text) or ("-",) for text in texts]
        self._bm25 = cast(Any, bm25s.BM25())
        self._bm25.index(self._documents, show_progress=False)
        self._whole = self._raw([word for words in self._documents for word in words])

    def scores(self, situation: Situation) -> Scores:
        """Return one score a scenario."""
        raw = self._raw(tokens(situation.words))
        return np.minimum(1.0, np.divide(raw, self._whole, out=np.zeros_like(raw), where=self._whole > 0))

    def _raw(self, words: Sequence[str]) -> Scores:
        vocabulary: Mapping[str, int] = self._bm25.vocab_dict
        known = sorted({word for word in words if word in vocabulary})
        return np.asarray(self._bm25.get_scores(known), np.float64) if known else np.zeros(len(self._documents))


class MeaningIndex:
    """Cosine similarity of sentence embeddings, cut off at zero.

    Args:
        texts: the scenarios.
        encode: returns a vector of length 1 for each text.
    """

    def __init__(self, texts: Sequence[str], encode: Callable[[Sequence[str]], Scores]) -> None:
        self._encode = encode
        self._scenarios = encode(texts)

    def scores(self, situation: Situation) -> Scores:
        """Return one score a scenario."""
        return np.clip(self._scenarios @ self._encode([situation.words])[0], 0.0, 1.0)


class Encoder:
    """The sentence embeddings of a model, of which the texts are remembered: most come again.

    Args:
        model: has `encode(texts, normalize_embeddings=True)`, as a `SentenceTransformer` has.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[str, Scores] = {}

    def __call__(self, texts: Sequence[str]) -> Scores:
        """Return a vector of length 1 for each text."""
        known = self._known = self._known if len(self._known) < _REMEMBERED else {}
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            vectors: Scores = np.asarray(self._model.encode(new, normalize_embeddings=True), np.float64)
            known.update(zip(new, vectors, strict=True))
        return np.array([known[text] for text in texts])


@cache
def _encoder(model: str) -> Encoder:
    return Encoder(load("sentence_transformers:SentenceTransformer")(model))


def _helped(match: Match) -> float:
    trial = match.strategy.effects.get("state")
    return trial.estimate if trial else 0.0
