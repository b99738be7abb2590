"""Retrieval: what fits is found, what does not is left out, and hostile words change nothing."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat import Message, Request, system, user
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.records import Advice, Effect, Evidence
from fulcrum.strategies.retrieval import Encoder, MeaningIndex, Retriever
from fulcrum.strategies.settings import RetrievalSettings
from fulcrum.strategies.solver import StrategyRewriter, retrieved, shuffled, whole
from fulcrum.strategies.suggestions import alike
from fulcrum.strategies.wording import GeneralWording, Situation, marks
from fulcrum.strategies.words import EVERYWHERE, overlap, telling_places, telling_words, tokens


def strategy(scenario: str, do: str = "act", estimate: float | None = None) -> Strategy:
    advice = Advice(scenario=scenario, do=do)
    effects = {}
    if estimate is not None:
        effects = {"state": Effect(measure="state", estimate=estimate, low=-1, high=1, n=1)}
    return Strategy(advice.id, 1, advice, "approved", Evidence(), effects=effects)


def found(strategies: list[Strategy], text: str, *marked: str, top_k: int = 4, threshold: float = 0.5) -> list[str]:
    retriever = Retriever(strategies, RetrievalSettings(top_k=top_k, threshold=threshold))
    return [match.strategy.advice.do for match in retriever.retrieve(Situation(text, marked))]


LIBRARY = [
    strategy("the customer waited too long in a queue", "thank"),
    strategy("a parcel arrived broken", "apologise"),
    strategy("after-refund", "tell the days"),
]


def test_it_finds_what_fits_whatever_the_endings_and_abstains_from_the_rest() -> None:
    assert found(LIBRARY, "I am waiting so long in your queues!") == ["thank"]
    assert found(LIBRARY, "both parcels were broken when they arrived") == ["apologise"]
    assert found(LIBRARY, "where is my invoice?") == []
    assert found(LIBRARY, "thanks", "after-refund") == ["tell the days"]
    assert found([], "anything") == []


@pytest.mark.parametrize(
    ("scenario", "said", "else_said"),
    [
        ("客户的包裹迟到了", "你好,我的包裹迟到了三天,请问怎么办", "我要退款"),
        ("荷物が届かない", "注文した荷物がまだ届かないのですが", "返品したいです"),
        ("พัสดุล่าช้า", "สวัสดี พัสดุล่าช้ามาก", "ขอคืนเงิน"),
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_scripts_without_spaces_are_found_too(scenario: str, said: str, else_said: str) -> None:
    library = [strategy(scenario, "apologise"), *LIBRARY]
    assert found(library, said) == ["apologise"]
    assert found(library, else_said) == []


def test_any_of_several_situations_is_enough() -> None:
    both = [strategy("waited long | arrived broken", "both")]
    assert found(both, "it arrived broken") == found(both, "i waited so long") == ["both"]
    assert found([strategy("waited long arrived broken", "all")], "broken", threshold=0.5) == []


def test_what_applies_everywhere_comes_after_what_fits_better() -> None:
    library = [strategy(EVERYWHERE, "be kind"), *LIBRARY]
    assert found(library, "it arrived broken in a parcel") == ["apologise", "be kind"]
    assert found(library, "nothing that is known") == ["be kind"]


@pytest.mark.parametrize("scenario", ["Any dialogue.", "any dialogue | broken", "broken | Any Dialogue"])
def test_everywhere_is_one_situation_of_several_and_its_own_words_count_nothing(scenario: str) -> None:
    library = [strategy(scenario, "be kind"), *LIBRARY]
    assert found(library, "nothing that is known") == ["be kind"]
    assert found(library, "any dialogue about both parcels that arrived torn") == ["apologise", "be kind"]


def test_of_equal_ones_that_with_the_larger_effect_comes_first_and_top_k_is_kept() -> None:
    library = [strategy("broken", "small", 0.1), strategy("broken", "large", 0.3), strategy("broken", "none")]
    assert found(library, "broken", top_k=2) == ["large", "small"]


@given(st.text(max_size=200), st.integers(1, 3), st.floats(0, 1))
def test_whatever_is_said_the_rules_of_retrieval_hold(text: str, top_k: int, threshold: float) -> None:
    retriever = Retriever(LIBRARY, RetrievalSettings(top_k=top_k, threshold=threshold))
    matches = retriever.retrieve(Situation(text, ()))
    assert len(matches) <= top_k
    assert all(threshold <= match.score <= 1 for match in matches)
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)


@given(st.text(max_size=100), st.text(max_size=100))
def test_hostile_scenarios_break_no_prompt(scenario: str, said: str) -> None:
    try:
        library = [strategy(f"x {scenario}", "help")]
    except ValueError:
        return
    wording = GeneralWording()
    rewriter = StrategyRewriter(retrieved(Retriever(library, RetrievalSettings(threshold=0)), wording), wording)
    (rewritten,) = rewriter.rewrite([Request((system("be kind"), user(said)))])
    assert rewritten.added == "help."
    assert [message.role for message in rewritten.request.messages] == ["system", "user"]


def test_a_request_in_which_nobody_spoke_goes_through_as_it_came() -> None:
    request = Request((system("be kind"),))
    wording = GeneralWording()
    (rewritten,) = StrategyRewriter(whole(LIBRARY), wording).rewrite([request])
    assert rewritten.request is request and rewritten.added is None


def test_the_placebo_gives_as_many_others() -> None:
    wording = GeneralWording()
    advise = shuffled(Retriever(LIBRARY, RetrievalSettings(threshold=0.5)), wording, seed=0)
    for number in range(20):
        given = advise([user(f"{number} it arrived broken in a parcel")])
        assert len(given.lines) == 1 and given.lines != ("apologise.",)
    assert advise([user("nothing that is known")]).lines == ()


def test_alone_a_strategy_fits_what_it_would_fit_in_its_library() -> None:
    torn = strategy("the customer wants a refund for a parcel torn by rain", "say sorry")
    others = [
        strategy(f"the customer wants a refund for a parcel {how}", how) for how in ("lost", "late", "wet", "heavy")
    ]
    alone = Retriever([torn], RetrievalSettings(threshold=0.5), beside=others)
    for said in ("i want a refund for my parcel, says the customer", "the rain has torn my parcel", "good morning"):
        inside = found([torn, *others], said, top_k=5)
        assert [match.strategy.advice.do for match in alone.retrieve(Situation(said, ()))] == inside[:1] * (
            "torn" in said
        )
    assert found([torn], "the customer wants a refund for a parcel") == ["say sorry"], (
        "with no others words weigh alike"
    )


def test_meaning_can_take_the_place_of_words() -> None:
    class Model:
        def encode(self, texts: list[str], normalize_embeddings: bool) -> np.ndarray:
            assert normalize_embeddings
            return np.array([[1.0, 0.0] if "parcel" in text or "package" in text else [0.0, 1.0] for text in texts])

    encode = Encoder(Model())
    scores = MeaningIndex(["a parcel arrived", "a long queue"], encode).scores(Situation("my package!", ()))
    assert list(scores) == [1.0, 0.0]


def test_a_model_of_meanings_is_loaded_once_and_asked_once_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Model:
        def __init__(self, name: str) -> None:
            asked.append(name)

        def encode(self, texts: list[str], normalize_embeddings: bool) -> np.ndarray:
            asked.extend(texts)
            return np.ones((len(texts), 1))

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Model))
    settings = RetrievalSettings(embeddings="loaded-once")
    for some in (LIBRARY, LIBRARY[1:]):
        retriever = Retriever(some, settings)
        assert len(retriever.retrieve(Situation("hello", ()))) == len(some)
    scenarios = [one.advice.scenario for one in LIBRARY]
    assert asked == ["loaded-once", *scenarios, Situation("hello", ()).words]


def test_embeddings_name_their_extra_where_it_is_missing() -> None:
    from fulcrum.errors import MissingExtra

    with pytest.raises(MissingExtra, match=r"fulcrum\[embeddings\]"):
        Retriever(LIBRARY, RetrievalSettings(embeddings="any")).retrieve(Situation("x", ()))


def test_marks_say_where_in_a_dialogue_a_turn_stands() -> None:
    from fulcrum.chat.message import ToolCall

    called = Message("assistant", "", (ToolCall("1", "refund", "{}"),))
    assert marks([user("hello")]) == ("first-reply",)
    assert marks([user("hello"), called, Message("tool", "done", (), "1")]) == ("first-reply", "after-refund")
    assert marks([user("hello"), Message("assistant", "hi"), user("so?")]) == ("later-reply",)


def test_places_are_told_where_situations_arise_at_some_of_them_only() -> None:
    everywhere = ["at-kim", "at-jo", "at-ron"] * 20
    assert telling_places(["at-jo"], everywhere) == ["at-jo"]
    assert telling_places(["at-jo"] * 4 + ["at-ron"] * 2, everywhere) == ["at-jo", "at-ron"]
    assert telling_places(["at-jo"] * 5 + ["at-ron"] * 2, everywhere) == ["at-jo"]  # one that slipped tells nothing
    assert telling_places(["at-jo", "at-kim", "at-ron"], everywhere) == []
    assert telling_places(["at-jo"] * 3, ["at-jo"] * 9) == []
    assert telling_places(["at-jo"] * 2 + ["at-kim"] * 8, ["at-jo"] * 5 + ["at-kim"] * 40 + ["at-ron"] * 9) == [
        "at-jo",
        "at-kim",
    ]


def test_telling_words_cover_the_situations_and_no_word_is_told_that_stands_everywhere() -> None:
    inside = [["order", "waited"], ["order", "waited"], ["order", "queue"], ["order", "queue"]] * 3
    outside = [["order", "cheap"], ["order", "late"], ["order", "lost"], ["order", "wrong"]] * 6
    assert telling_words(inside, [*inside, *outside]) == ["waited", "queue"]
    assert telling_words([["order"], ["order"]], [["order"]] * 6) == []


def test_words_that_situations_share_by_chance_tell_nothing() -> None:
    names = ["finn", "kira", "wine", "rope"]
    inside = [["order", names[index % 4]] for index in range(12)]
    assert telling_words(inside, [*inside, *([["order", name] for name in names] * 6)]) == []


def test_a_further_word_must_tell_what_the_earlier_ones_leave_open() -> None:
    """`coins` stands beside `done` often enough, but not where `done` is missing."""
    inside = [["done", "coins"]] * 6 + [["done", "wine"]] * 6 + [["coins"]] + [["rope"]] * 2
    outside = [["coins"]] * 4 + [["wine"]] * 10 + [["rope"]] * 30
    assert telling_words(inside, [*inside, *outside]) == ["done"]


def test_words_and_overlap() -> None:
    assert tokens("退款 refunds 包裹迟到") == ("退款", "refund", "包裹", "裹迟", "迟到")
    assert tokens("The parcels were placed in 2 boxes") == tokens("parcel placing box")
    assert overlap("offer a voucher", "offer vouchers") == 1.0
    assert overlap("offer a voucher", "say sorry") == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Do offer a refund before the order is named", "Don\u2019t offer a refund before the order is named"),
        ("Biete die Erstattung sofort an", "Biete die Erstattung nicht sofort an"),
        ("Biete dem Kunden bald eine Erstattung an", "Biete dem Kunden bald keine Erstattung an"),
        ("nabízej zákazníkovi slevu za pozdní zásilku", "nenabízej zákazníkovi slevu za pozdní zásilku"),
        ("请马上提供退款给客户", "请马上不提供退款给客户"),
        ("propose un remboursement dès que possible", "ne propose pas un remboursement dès que possible"),
    ],
)
def test_what_may_be_the_opposite_is_not_the_same_in_any_language(one: str, other: str) -> None:
    first, second = (Advice(scenario="s", do=do) for do in (one, other))
    assert not alike(first, second, 0.3) and not alike(second, first, 0.3)


def test_what_differs_in_endings_and_empty_words_only_is_the_same() -> None:
    first, second = (Advice(scenario="s", do=do) for do in ("offer a voucher", "Offer the customer vouchers"))
    assert alike(first, second, 0.75)


def test_the_library_opens_without_the_index() -> None:
    """Retrieval loads its library only when there is something to find."""
    import subprocess

    code = "import sys, fulcrum.strategies.retrieval; sys.exit('bm25s' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path.cwd()).returncode == 0
