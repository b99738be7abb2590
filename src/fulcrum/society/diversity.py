"""How different the agents of a society still are, and what their differences are worth."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, count
from statistics import fmean

from fulcrum.chat import Request
from fulcrum.society.cast import Cast, Speaker, Voices
from fulcrum.society.debate import Transcript, vote
from fulcrum.tfidf import cosines, inverse_frequencies, unit_rows, word_counts

NGRAM = 3
"""Characters of the pieces whose TF-IDF vectors stand in for embeddings."""


def diversity(debates: Sequence[Transcript], gold: Mapping[str, str | None], seed: int) -> dict[str, float]:
    """Return the diversity of a cast over some debates.

    Args:
        debates: debates of at least two participants.
        gold: right answers, for the measures that need them; questions without are left out of these.
        seed: of the debates: it decides tied votes as they were decided there.

    Returns:
        consensus: share of participants whose last answer is the vote's.
        disagreement: share of participants whose *first* answer is not the last round's vote.
        answers: distinct first answers of a question, as a share of the participants.
        any_right: share of questions of which some participant's last answer is right (pass@N).
        unused: any_right minus the share that the vote gets right: what better choosing could still win.
        error_overlap: of the questions that one of two participants gets wrong at first, the share that both do;
            mean over all pairs.
        same_error: of those that both get wrong, the share with the same wrong answer; one that failed or cannot be
            read is no answer.
        dissimilarity: 1 - cosine of the TF-IDF vectors of two participants' first texts; mean over pairs.
    """
    votes = {debate.question_id: vote(debate, seed) for debate in debates}
    found = {
        "consensus": fmean(
            said.key is not None and said.key == votes[d.question_id] for d in debates for said in d.last
        ),
        "disagreement": fmean(
            said.key is None or said.key != votes[d.question_id] for d in debates for said in d.first
        ),
        "answers": fmean(len({said.key for said in d.first}) / len(d.first) for d in debates),
        "dissimilarity": dissimilarity([[said.completion.text for said in debate.first] for debate in debates]),
    }
    known = [debate for debate in debates if debate.question_id in gold]
    if not known:
        return found
    any_right = fmean(any(said.key == gold[d.question_id] for said in d.last) for d in known)
    voted_right = fmean(votes[d.question_id] is not None and votes[d.question_id] == gold[d.question_id] for d in known)
    overlap, same = _errors(known, gold)
    return found | {
        "any_right": any_right,
        "unused": any_right - voted_right,
        "error_overlap": overlap,
        "same_error": same,
    }


def _errors(debates: Sequence[Transcript], gold: Mapping[str, str | None]) -> tuple[float, float]:
    """Return the overlap of errors (Jaccard), and how often they are the same; 0 where there is no error."""
    either = both = same = 0
    for debate in debates:
        for one, other in combinations([said.key for said in debate.first], 2):
            wrong = [key is None or key != gold[debate.question_id] for key in (one, other)]
            either += any(wrong)
            both += all(wrong)
            same += all(wrong) and one == other and one is not None
    return both / either if either else 0.0, same / both if both else 0.0


def dissimilarity(texts: Sequence[Sequence[str]]) -> float:
    """Return the mean distance of the texts on one question from each other, over questions.

    Args:
        texts: of each question, one of each participant.
    """
    places = count()
    pairs = [pair for group in texts for pair in combinations([next(places) for _ in group], 2)]
    if not pairs:
        return 0.0
    counts = word_counts(_pieces(text) for group in texts for text in group)
    rows = unit_rows(counts, inverse_frequencies(counts))
    first, second = zip(*pairs, strict=True)
    return 1 - float(cosines(rows, first, second).mean())


def _pieces(text: str) -> list[str]:
    """Return each run of `NGRAM` characters; a text that is shorter is one piece."""
    return [text[start : start + NGRAM] for start in range(max(1, len(text) - NGRAM + 1))]


def likelihoods(voices: Voices, cast: Cast, debates: Sequence[Transcript]) -> dict[str, float]:
    """Return how the generation agents rate each other's first answers; nothing if each of these failed.

    The cast must be seated, and the debates be its own.

    Returns:
        nll_own: mean negative log-likelihood of an agent's own answers, in nats a token.
        nll_others: of the others' answers.
        kl: mean over ordered pairs of `log p_i - log p_j` on answers drawn from agent i, in nats a token. With a
            `top_p` below 1 the answers are drawn from a cut distribution, so this is an estimate from likely answers.
    """
    speakers: list[Speaker] = []
    requests: list[Request] = []
    texts: list[str] = []
    pairs: list[tuple[int, int]] = []
    for debate in debates:
        for author, said in enumerate(debate.first):
            for reader, agent in enumerate(cast.generators) if said.completion.ok else ():
                speakers.append(agent)
                requests.append(Request(debate.messages))
                texts.append(said.completion.text)
                pairs.append((author, reader))
    if not requests:
        return {}
    means = [math.fsum(tokens) / len(tokens) for tokens in voices.rate(speakers, requests, texts)]
    own = [-mean for (author, reader), mean in zip(pairs, means, strict=True) if author == reader]
    others = [-mean for (author, reader), mean in zip(pairs, means, strict=True) if author != reader]
    return {"nll_own": fmean(own), "nll_others": fmean(others), "kl": fmean(others) - fmean(own)}
