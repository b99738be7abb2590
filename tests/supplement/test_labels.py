"""From scores to winners, losers, pairs and rows."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat import assistant, user
from fulcrum.supplement.forms import CONCAT, NONE, NOTHING, OWN, Supplement
from fulcrum.supplement.labels import (
    Option,
    Rule,
    examples_to_imitate,
    flip_rate,
    form_entropy,
    preference_pairs,
    usable_share,
)
from fulcrum.supplement.trials import Trial, Written, actor_calls, read_trials, write_trials

ALONE = {"hard": 0.0, "half": 0.5, "easy": 1.0}
STATES = {query: [(query, ())] for query in ALONE}


def trial(query: str, form: str, body: str, *values: float | None, verdict: str = "", since: tuple = ()) -> Trial:
    verdicts = tuple(
        verdict or ("failed" if value is None else "right" if value >= 1 else "wrong" if value <= 0 else "partial")
        for value in values
    )
    written = (Written(since, Supplement(form, body) if form != NONE else NOTHING),)
    return Trial(query, form, written, values, verdicts, tuple(map(str, values)), calls=len(values))


trials = st.builds(
    lambda query, form, body, values: trial(query, form, body, *values),
    st.sampled_from(["hard", "half", "easy", "unknown"]),
    st.sampled_from(["cot", "pairs", "summary", NONE]),
    st.sampled_from("abcdefgh"),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=3),
)
rules = st.builds(Rule, st.sampled_from(["uplift", "binary"]), st.sampled_from([0.0, 0.3]))


@given(st.lists(trials, max_size=80), rules, st.integers(1, 5), st.sampled_from([0.0, 0.15, 0.5]), st.integers(0, 3))
def test_pairs_are_what_they_claim(found: list[Trial], rule: Rule, cap: int, share: float, seed: int) -> None:
    options = rule.options(found, ALONE)
    pairs = preference_pairs(rule, options, cap, share, seed)
    assert len(set(pairs)) == len(pairs)
    for pair in pairs:
        assert pair.winner.state == pair.loser.state
        assert pair.winner.supplement != pair.loser.supplement
        assert pair.winner.value > pair.loser.value
        assert (pair.winner.supplement.form == pair.loser.supplement.form) == (pair.kind == "intra")
        assert pair.winner.value - pair.loser.value > rule.margin
        if rule.labels == "binary":
            assert pair.winner.value >= 1 > pair.loser.value
        else:
            assert pair.winner.supplement == NOTHING or pair.winner.value - pair.winner.alone > rule.margin
    counts = Counter((pair.winner.state[0], pair.kind) for pair in pairs)
    assert all(count <= cap for count in counts.values())
    easy = sum(pair.winner.alone >= 1 for pair in pairs)
    if 0 < easy < len(pairs):
        assert easy <= round(share / (1 - share) * (len(pairs) - easy))
    assert preference_pairs(rule, options, cap, share, seed) == pairs


@given(st.lists(trials, max_size=80), rules)
def test_a_failure_labels_nothing(found: list[Trial], rule: Rule) -> None:
    """Failed attempts, and what the scorer could not judge, change no option, as if they had never been."""
    failed = [trial(one.query, "mistakes", "broken", None, None) for one in found]
    unparsable = [trial(one.query, "mistakes", "odd", 0.0, verdict="unparsable") for one in found]
    assert rule.options([*found, *failed, *unparsable], ALONE) == rule.options(found, ALONE)
    assert all(state[0] in ALONE for state in rule.options(found, ALONE))


@given(st.lists(trials, min_size=1, max_size=120), rules, st.integers(0, 3))
def test_no_form_dominates_what_is_imitated(found: list[Trial], rule: Rule, seed: int) -> None:
    options = rule.options(found, ALONE)
    rows = examples_to_imitate(rule, options, ALONE, STATES, 0.15, seed)
    helping = [one for said in options.values() for one in said if rule.helps(one)]
    forms = Counter(supplement.family for _, supplement in rows if supplement != NOTHING)
    present = {one.supplement.family for one in helping}
    for form, count in forms.items():
        assert count <= -(-len(helping) // len(present))
        assert count <= sum(one.supplement.family == form for one in helping)
    known = {(one.state, one.supplement) for one in helping}
    assert all(row in known or row == (("easy", ()), NOTHING) for row in rows)


def test_all_concatenations_together_are_imitated_no_more_often_than_a_form() -> None:
    """And so are forms of the generator's own: each has its name, and would else be most of what is learned."""
    alone = {f"hard {n}": 0.0 for n in range(24)}
    names = ["cot"] * 4 + [f"cot+{n}" for n in range(10)] + [f"mine {n}" for n in range(10)]
    found = [trial(query, form, f"help {query}", 1.0) for query, form in zip(alone, names, strict=True)]
    rule = Rule("binary")
    rows = examples_to_imitate(rule, rule.options(found, alone), alone, {}, 0.0, 0)
    assert Counter(supplement.family for _, supplement in rows) == {"cot": 4, CONCAT: 8, OWN: 8}


def test_silence_is_imitated_no_more_often_than_any_other_form() -> None:
    alone = {**{f"hard {n}": 0.0 for n in range(12)}, **{f"easy {n}": 1.0 for n in range(40)}}
    found = [trial(f"hard {n}", ("cot", "pairs", "summary")[n % 3], f"help {n}", 1.0) for n in range(12)]
    rule = Rule("uplift")
    rows = examples_to_imitate(
        rule, rule.options(found, alone), alone, {query: [(query, ())] for query in alone}, 0.5, 0
    )
    assert Counter(supplement.form for _, supplement in rows) == {"cot": 4, "pairs": 4, "summary": 4, NONE: 4}


def test_uplift_and_binary_differ_on_what_the_actor_solves_alone() -> None:
    found = [trial("easy", "cot", "fluff", 1.0), trial("easy", "pairs", "harm", 0.0), trial("hard", "cot", "help", 1.0)]
    uplift, binary = Rule("uplift"), Rule("binary")
    kept = [one.supplement.body for said in binary.options(found, ALONE).values() for one in said if binary.helps(one)]
    assert kept == ["fluff", "help"]
    kept = [one.supplement.body for said in uplift.options(found, ALONE).values() for one in said if uplift.helps(one)]
    assert kept == ["help"]
    pairs = preference_pairs(uplift, uplift.options(found, ALONE), 20, 0.5, 0)
    assert {(pair.winner.supplement, pair.loser.supplement.body) for pair in pairs} == {
        (Supplement("cot", "help"), ""),  # better than silence where help is needed
        (NOTHING, "harm"),  # silence is better than harm where it is not
    }


def test_the_margin_tells_noise_from_worth() -> None:
    found = [trial("half", "cot", "a", 1.0, 0.5, 0.5), trial("half", "cot", "b", 0.5, 0.5, 0.5)]
    (said,) = Rule(margin=0.1).options(found, ALONE).values()
    assert [Rule(margin=0.1).signs(said), Rule(margin=0.2).signs(said)] == [(1, 2), (0, 0)]


def test_the_margin_holds_for_binary_labels_too() -> None:
    found = [trial("hard", "cot", "a", 1.0, 1.0, 1.0), trial("hard", "cot", "b", 1.0, 1.0, 0.0)]
    (said,) = Rule("binary").options(found, ALONE).values()
    assert [Rule("binary", margin).signs(said) for margin in (0.3, 0.4)] == [(1, 1), (1, 0)]


def judged(*verdicts: str) -> Trial:
    values = [None if verdict == "failed" else float(verdict == "right") for verdict in verdicts]
    return replace(trial("half", "cot", "a", *values), verdicts=verdicts)


def test_an_answer_that_cannot_be_judged_counts_beside_others_and_labels_nothing_alone() -> None:
    alone = judged("right", "right", "unparsable")
    assert sum(alone.labels) / len(alone.labels) == pytest.approx(2 / 3)
    (said,) = Rule().options([judged("right", "unparsable", "unparsable")], {"half": 2 / 3}).values()
    assert not any(map(Rule().helps, said)), "it leaves the actor without an answer: nothing that helps"
    assert judged("right", "failed").labels == [1.0]
    assert judged("unparsable", "unparsable").labels == judged("unparsable", "failed").labels == []


def test_the_same_words_twice_are_one_option_with_the_mean_of_both() -> None:
    found = [trial("hard", "cot", "a", 1.0), trial("hard", "cot", "a", 0.0), trial("hard", "cot", "b", 0.0)]
    (said,) = Rule("binary").options(found, ALONE).values()
    assert [(one.supplement.body, one.value) for one in said] == [("a", 0.5), ("b", 0.0)]
    assert actor_calls(found) == 2


def test_silence_is_no_call_for_the_actor_has_been_asked_alone() -> None:
    silent = trial("hard", "none", "", 0.0)
    assert actor_calls([silent]) == 0
    assert actor_calls([silent, trial("hard", "cot", "a", 1.0)]) == 1
    halfway = replace(silent, written=(*silent.written, *trial("hard", "cot", "a", 1.0).written))
    assert actor_calls([halfway]) == 1, "a dialogue in which something was said at one turn is one of its own"


def test_later_turns_of_a_dialogue_are_states_of_their_own() -> None:
    later = (assistant("hm"), user("well?"))
    found = [trial("hard", "cot", "a", 1.0, since=later), trial("hard", "cot", "b", 0.0)]
    rule = Rule()
    options = rule.options(found, ALONE)
    assert set(options) == {("hard", later), ("hard", ())}
    (pair,) = preference_pairs(rule, options, 20, 0, 0)
    assert (pair.winner.supplement.body, pair.loser.supplement) == ("a", NOTHING), "b was said in another place"


def test_a_turn_at_which_notes_do_harm_is_left_alone() -> None:
    first, second = (assistant("hm"), user("well?")), (assistant("hm"), user("so?"))
    found = [
        *(trial("hard", "cot", f"help {n}", 1.0) for n in range(8)),
        *(trial("half", "cot", body, value, since=first) for body, value in (("a", 0.0), ("b", 0.75))),
        *(trial("half", "cot", body, value, since=second) for body, value in (("a", 0.0), ("b", 1.0))),
        trial("half", "cot", "a", 0.0),  # at its start a dialogue is a question like any other
    ]
    rule = Rule()
    states = {"hard": [("hard", ())], "half": [("half", since) for since in ((), first, second)], "easy": []}
    rows = examples_to_imitate(rule, rule.options(found, ALONE), ALONE, states, 0.5, 0)
    assert [state for state, supplement in rows if supplement == NOTHING] == [("half", first)]
    solved = [("easy", ()), ("easy", first)]
    rows = examples_to_imitate(rule, rule.options(found, ALONE), ALONE, states | {"easy": solved}, 0.5, 0)
    assert {state for state, supplement in rows if supplement == NOTHING} == {("half", first), *solved}


def test_rates() -> None:
    assert form_entropy([]) == 0
    assert form_entropy(["a"] * 5) == 0
    assert form_entropy("abcdefgh") == pytest.approx(3)
    assert flip_rate([trial("hard", "cot", "a", 1.0)]) is None
    assert flip_rate([trial("hard", "cot", "a", 1.0, 0.0), trial("hard", "cot", "b", 1.0, 1.0)]) == pytest.approx(0.5)
    rule, found = Rule(), [trial("hard", "cot", "a", 1.0), trial("half", "cot", "a", 0.5)]
    assert usable_share(rule, rule.options(found, ALONE)) == 0.5


@given(st.lists(trials, max_size=10))
def test_the_store_gives_back_what_it_was_given(tmp_path_factory: pytest.TempPathFactory, found: list[Trial]) -> None:
    path = tmp_path_factory.mktemp("store") / "trials.jsonl"
    write_trials(path, found)
    assert read_trials(path) == found


def test_an_option_remembers_where_it_stands() -> None:
    option = Option(("hard", ()), Supplement("cot", "a"), 1.0, 0.0)
    assert Rule().helps(option) and Rule("binary").helps(option)
    assert not Rule(margin=0.99999).helps(Option(("half", ()), Supplement("cot", "a"), 1.0, 0.5))
