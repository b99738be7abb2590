import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulcrum.chat import Completion, ToolCall
from fulcrum.lab.desk.environment import CUSTOMERS, MAX_TURNS, DeskEnvironment, DeskEpisode
from fulcrum.lab.desk.expert import rule_agent
from fulcrum.lab.desk.heard import hear
from fulcrum.lab.desk.place import Desk, desks, shop_desk
from fulcrum.lab.desk.policy import ACTIONS, Order, Policy, clerk_in
from fulcrum.lab.desk.practice import HABITS, PARAPHRASES, applicable, handbook, practice_of
from fulcrum.lab.desk.record import Record
from fulcrum.lab.desk.satisfaction import judge
from fulcrum.lab.desk.scenario import MOODS, Scenario
from fulcrum.lab.desk.task import TEMPLATE, load_desk, rules
from fulcrum.lab.desk.tools import TOOLS, read_calls
from fulcrum.lab.shop import BOOKINGS, PRACTICES, Shop
from fulcrum.task import Example, Score, Task

Agent = Callable[[Any], Completion]


@cache
def desk_task(seed: int, customer: str, tools: Literal["text", "protocol"] = "text") -> Task:
    return load_desk("desk", seed, customer, tools)


def play(task: Task, agent: Agent, example: Example) -> DeskEpisode:
    episode = task.open(example.id)
    while not episode.done:
        episode.step(agent(episode))
    assert isinstance(episode, DeskEpisode)
    return episode


def figures(task: Task, agent: Agent, count: int) -> dict[str, float]:
    scores = [play(task, agent, example).score() for example in task.examples("dev")[:count]]
    names = ("success", "satisfaction", "violations")
    figures = {name: mean(score.details[name] for score in scores) for name in names}
    return figures | {
        "solved": mean(score.verdict == "right" for score in scores),
        "value": mean(score.value for score in scores),
    }


def mean(values: Any) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def check_ceiling_and_floor(seed: int, customer: str, count: int) -> None:
    task = desk_task(seed, customer)
    assert task.expert is not None
    expert, plain = figures(task, task.expert, count), figures(task, rule_agent(()), count)
    assert expert["solved"] >= 0.98
    assert plain["success"] >= 0.98, "the floor fails at practice, not at the task"
    assert plain["solved"] <= 0.1
    assert expert["satisfaction"] - plain["satisfaction"] >= 1
    assert plain["violations"] - expert["violations"] >= 0.3
    assert expert["value"] - plain["value"] >= 0.2


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_practice_makes_the_difference_between_expert_and_plain_agent(customer: str) -> None:
    check_ceiling_and_floor(1, customer, 30)


@pytest.mark.slow
@pytest.mark.parametrize("customer", CUSTOMERS)
@pytest.mark.parametrize("seed", [0, 2, 7])
def test_expert_and_plain_agent_on_whole_splits_of_three_shops(seed: int, customer: str) -> None:
    check_ceiling_and_floor(seed, customer, 120)


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_where_the_till_wants_a_word_the_practice_decides_on_success(customer: str) -> None:
    task = load_desk("desk", 1, customer, till="signed")
    assert task.expert is not None
    assert figures(task, task.expert, 60)["solved"] >= 0.98
    assert figures(task, rule_agent(()), 60)["success"] <= 0.8
    assert figures(task, rule_agent(Shop(1).bookings), 60)["success"] >= 0.98
    assert task.fingerprint != desk_task(1, customer).fingerprint


def test_a_desk_can_live_by_the_practice_of_another_shop() -> None:
    task, own = load_desk("desk", 7, practice=0), load_desk("desk", 7)
    openings, usual = ([example.fields["opening"] for example in one.examples("test")] for one in (task, own))
    assert openings == usual
    example = task.examples("test")[0]
    assert task.expert is not None
    assert play(task, task.expert, example).score().verdict == "right"
    assert play(task, rule_agent(Shop(7).practice), example).score().verdict != "right"


def test_a_desk_of_several_shops_holds_each_dialogue_at_one_of_them() -> None:
    task, places = load_desk("desk", 22, till="signed", shops=3), desks(22, 3, "signed")
    assert len({desk.practice for desk in places}) == len({desk.policy.clerk for desk in places}) == 3
    examples = task.examples("dev")[:60]
    clerks = [clerk_in(task.question(example).messages) for example in examples]
    assert clerks[:3] * 20 == clerks and set(clerks) == {desk.policy.clerk for desk in places}
    assert task.expert is not None
    assert figures(task, task.expert, 60)["solved"] >= 0.98
    for desk in places:  # what is right at one desk is not at the others
        own = [play(task, rule_agent(desk.practice), example).score().verdict == "right" for example in examples]
        at_home = [right for right, clerk in zip(own, clerks, strict=True) if clerk == desk.policy.clerk]
        assert mean(at_home) >= 0.95 and mean(own) <= 0.6


def test_several_shops_with_the_practice_of_others_bear_their_clerks_names() -> None:
    own, others, mixed = desks(22, 2), desks(1, 2), desks(22, 2, practice=1)
    for one, other, both in zip(own, others, mixed, strict=True):
        assert (both.practice, both.policy.clerk) == (other.practice, other.policy.clerk)
        assert (both.seed, both.policy.limit, both.image) == (one.seed, one.policy.limit, one.image)


def test_a_call_without_the_word_is_not_booked_and_one_with_it_is() -> None:
    desk = desk_of(("sign_refunds",))
    order = order_for(desk, lambda one: one.status in desk.policy.gone and one.price <= desk.policy.limit)
    episode = open_dialogue(desk, scenario_for(desk, order))
    episode.step(Completion(f"@refund {order.number}"))
    assert episode.messages[-1].content == f"[desk] order {order.number}: refund not booked"
    assert not tell(episode, DONE).details["success"]
    note = f'{{"order": {order.number}, "note": "{desk.policy.clerk}"}}'
    for signed in (
        Completion(f"@refund {order.number} {desk.policy.clerk}"),
        Completion(f"@refund {order.number} {desk.policy.clerk}, as agreed."),
        Completion("", tool_calls=(ToolCall("1", "refund", note),)),
    ):
        episode = open_dialogue(desk, scenario_for(desk, order))
        episode.step(signed)
        assert tell(episode, DONE).verdict == "right"


@pytest.mark.parametrize(("waiting", "allowed"), [(True, "cancel, address"), (False, "refund, exchange")])
def test_a_look_up_tells_what_may_be_done_for_whoever_asks(waiting: bool, allowed: str) -> None:
    desk = desk_of()
    order = order_for(desk, lambda one: (one.status in desk.policy.waiting) == waiting)
    other = order_for(desk, lambda one: one.owner != order.owner).owner

    def answer(call: str | ToolCall) -> str:
        episode = open_dialogue(desk, scenario_for(desk, order))
        episode.step(Completion(call) if isinstance(call, str) else Completion("", tool_calls=(call,)))
        return episode.messages[-1].content.removeprefix("[desk] ")

    told = f"order {order.number}: {order.owner}, {order.item}, {order.price} coins, {order.status}, {order.address}"
    assert answer(f"@order {order.number} {order.owner.title()}") == f"{told}; may {allowed}"
    assert answer(f"@order {order.number} {other}") == f"{told}; of another customer"
    assert answer(f"@order {order.number}") == "which customer?"
    by_protocol = f'{{"order": {order.number}, "name": "{order.owner}"}}'
    assert answer(ToolCall("1", "order", by_protocol)) == f"{told}; may {allowed}"


def desk_of(practice: tuple[str, ...] = ()) -> Desk:
    return replace(shop_desk(1), practice=practice)


def order_for(desk: Desk, test: Callable[[Order], bool]) -> Order:
    return next(order for order in desk.orders if test(order))


def scenario_for(desk: Desk, order: Order, **changes: Any) -> Scenario:
    usual = Scenario(
        name=order.owner,
        order=order.number,
        item=order.category,
        action="refund",
        address="",
        motive="mind",
        tells_motive=True,
        mood="calm",
        memory="tells",
        takes_exchange=False,
        wording=1,
    )
    return replace(usual, **changes)


def open_dialogue(desk: Desk, scenario: Scenario, customer: str = "a") -> DeskEpisode:
    fields = {"rules": rules(desk), "opening": CUSTOMERS[customer](scenario).opening()}
    example = Example(fields, target=scenario.to_json())
    task = Task("t", {"dev": [example]}, TEMPLATE, None, environment=DeskEnvironment([desk], customer))
    episode = task.open(example.id)
    assert isinstance(episode, DeskEpisode)
    return episode


def tell(episode: DeskEpisode, *texts: str) -> Score:
    """Say texts one after the other until the customer leaves, then wait in silence."""
    for text in texts:
        if not episode.done:
            episode.step(Completion(text))
    while not episode.done:
        episode.step(Completion(""))
    return episode.score()


@pytest.fixture
def refundable() -> Order:
    desk = desk_of()
    return order_for(desk, lambda order: order.status in desk.policy.gone and order.price <= desk.policy.limit)


DONE = "all is done for you."


def test_what_was_asked_and_allowed_is_right(refundable: Order) -> None:
    desk = desk_of()
    score = tell(open_dialogue(desk, scenario_for(desk, refundable)), f"@refund {refundable.number}", DONE)
    assert score.verdict == "right"
    assert score.details["satisfaction"] == 5


def test_a_report_of_what_was_never_done_is_no_success(refundable: Order) -> None:
    desk = desk_of()
    score = tell(open_dialogue(desk, scenario_for(desk, refundable)), "your order has been refunded.")
    assert not score.details["success"]
    assert score.details["satisfaction"] <= 2


def test_changes_beyond_the_wish_are_no_success(refundable: Order) -> None:
    desk = desk_of()
    other = order_for(desk, lambda order: order.number != refundable.number)
    extra = f"@refund {refundable.number} @cancel {other.number}"
    score = tell(open_dialogue(desk, scenario_for(desk, refundable)), extra, DONE)
    assert not score.details["success"]
    assert score.details["violations"] == 1


@pytest.mark.parametrize(
    ("rule", "condition"),
    [
        ("status", lambda order, policy: order.status in policy.waiting),
        ("limit", lambda order, policy: order.status in policy.gone and order.price > policy.limit),
    ],
)
def test_a_refund_against_the_rules_is_a_violation(rule: str, condition: Callable[[Order, Policy], bool]) -> None:
    desk = desk_of()
    order = order_for(desk, lambda order: condition(order, desk.policy))
    score = tell(open_dialogue(desk, scenario_for(desk, order)), f"@refund {order.number}", DONE)
    assert score.details["violated"] == [f"against the {rule} rule"]
    assert not score.details["success"]


def test_the_order_of_somebody_else_is_left_alone(refundable: Order) -> None:
    desk = desk_of()
    stranger = order_for(desk, lambda order: order.owner != refundable.owner).owner
    scenario = scenario_for(desk, refundable, name=stranger)
    harm = tell(open_dialogue(desk, scenario), f"@refund {refundable.number}", DONE)
    assert harm.details["violated"] == ["against the owner rule"]
    refused = tell(open_dialogue(desk, scenario), "i am afraid that is not possible.")
    assert refused.verdict == "right"


def test_over_the_limit_a_colleague_decides() -> None:
    desk = desk_of()
    order = order_for(desk, lambda order: order.status in desk.policy.gone and order.price > desk.policy.limit)
    texts = (f"@escalate {order.number}", "a colleague takes over.")
    passed = tell(open_dialogue(desk, scenario_for(desk, order)), *texts)
    assert passed.verdict == "right"
    refused = tell(open_dialogue(desk, scenario_for(desk, order)), "i am afraid that is not possible.")
    assert not refused.details["success"]


@pytest.mark.parametrize("takes", [True, False])
def test_who_accepts_an_exchange_must_get_it(refundable: Order, takes: bool) -> None:
    desk = desk_of()
    scenario = scenario_for(desk, refundable, takes_exchange=takes)
    offer = "would you like an exchange instead?"
    for action in ("refund", "exchange"):
        score = tell(open_dialogue(desk, scenario), offer, f"@{action} {refundable.number}", DONE)
        assert score.details["success"] == ((action == "exchange") == takes)
    unasked = tell(open_dialogue(desk, scenario), f"@exchange {refundable.number}", DONE)
    assert unasked.details["violated"] == ["unasked change"]


def test_where_shouting_twice_hands_over_the_agent_escalates(refundable: Order) -> None:
    scenario = scenario_for(desk_of(), refundable, mood="furious")
    question, call = f"is order {refundable.number} right?", f"@escalate {refundable.number}"
    end = "a colleague takes over."
    desk = desk_of(("escalate_twice_angry",))
    assert tell(open_dialogue(desk, scenario), question, call, end).verdict == "right"
    ignored = tell(open_dialogue(desk, scenario), question, f"@refund {refundable.number}", DONE)
    assert ignored.details["violated"] == ["escalate_twice_angry"]
    assert not tell(open_dialogue(desk_of(), scenario), question, call, end).details["success"]


def test_a_failed_call_is_not_a_wrong_answer(refundable: Order) -> None:
    desk = desk_of()
    episode = open_dialogue(desk, scenario_for(desk, refundable))
    episode.step(Completion.failed("timeout"))
    assert episode.done
    assert episode.score().verdict == "failed"


def test_a_dialogue_is_not_scored_before_its_end_nor_continued_after(refundable: Order) -> None:
    desk = desk_of()
    episode = open_dialogue(desk, scenario_for(desk, refundable))
    with pytest.raises(RuntimeError, match="before the dialogue was over"):
        episode.score()
    tell(episode, "i am afraid that is not possible.")
    with pytest.raises(RuntimeError, match="after the dialogue was over"):
        episode.step(Completion("one more thing"))


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_patience_ends(refundable: Order, customer: str) -> None:
    desk = desk_of()
    episode = open_dialogue(desk, scenario_for(desk, refundable), customer)
    score = tell(episode, *["the weather is fine today."] * MAX_TURNS)
    assert score.details["turns"] < MAX_TURNS
    assert not score.details["success"]


def test_turns_are_limited_while_tools_keep_the_agent_busy(refundable: Order) -> None:
    desk = desk_of()
    score = tell(open_dialogue(desk, scenario_for(desk, refundable)), *["@order 1"] * MAX_TURNS)
    assert score.details["turns"] == MAX_TURNS


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_questions_beyond_the_simulator_are_its_own_fault(refundable: Order, customer: str) -> None:
    desk = desk_of()
    odd = "which colour is the box?"
    score = tell(
        open_dialogue(desk, scenario_for(desk, refundable), customer), odd, odd, f"@refund {refundable.number}"
    )
    assert score.details["simulator_fault"]
    fine = tell(open_dialogue(desk, scenario_for(desk, refundable), customer), f"@refund {refundable.number}", DONE)
    assert not fine.details["simulator_fault"]


def test_asking_for_what_was_told_disappoints(refundable: Order) -> None:
    desk = desk_of()
    answer = ("what is your order number?", f"@refund {refundable.number}", DONE)
    assert tell(open_dialogue(desk, scenario_for(desk, refundable)), *answer).details["satisfaction"] == 4.5
    asked = scenario_for(desk, refundable, memory="asked")
    assert tell(open_dialogue(desk, asked), *answer).details["satisfaction"] == 5


def test_house_rules_cost_more_than_other_habits(refundable: Order) -> None:
    desk = desk_of()
    record = Record(scenario_for(desk, refundable), desk.policy, "allow", said=["good day to you"])
    practice = ("name_the_customer", "give_days", "repeat_request", "close_with_question", "sign_with_name")
    verdict = judge(record, practice, success=True)
    assert verdict.missed == ("name_the_customer", "repeat_request", "close_with_question", "sign_with_name")
    assert verdict.violations == ("name_the_customer", "repeat_request"), "only the first three are house rules"
    assert verdict.satisfaction == 5 - 2 * 1.0 - 2 * 0.5
    assert verdict.value == pytest.approx(0.5 + 0.5 * (verdict.satisfaction - 1) / 4 - 2 * 0.1)


def test_hurried_customers_are_spared_politeness_only_where_the_practice_says_so(refundable: Order) -> None:
    desk = desk_of()
    record = Record(scenario_for(desk, refundable, mood="hurried"), desk.policy, "allow", said=["order done."])
    polite = ("name_the_customer", "confirm_order_number")
    assert [habit.id for habit in applicable(record, polite)] == list(polite)
    with_short = applicable(record, (*polite, "short_when_hurried"))
    assert [habit.id for habit in with_short] == ["confirm_order_number", "short_when_hurried"]


def by_protocol(agent: Agent) -> Agent:
    """The same agent with its calls made through the chat protocol."""

    def speak(episode: Any) -> Completion:
        said, calls = read_calls(agent(episode))
        made = tuple(
            ToolCall(
                f"call-{place}",
                call.name,
                f'{{"order": {call.number or 0}, "{"name" if call.name == "customer" else "address"}": "{call.text}"}}',
            )
            for place, call in enumerate(calls)
        )
        return Completion(said, tool_calls=made)

    return speak


@pytest.mark.parametrize(
    "arguments", ["[" * 100_000, '{"order": ' + "9" * 5000 + "}", '{"order": "9223372036854775808"}']
)
def test_hostile_arguments_are_no_order(arguments: str) -> None:
    task = desk_task(1, "a", "protocol")
    episode = task.open(task.examples("train")[0].id)
    episode.step(Completion("", "tool_calls", tool_calls=(ToolCall("1", "refund", arguments),)))
    assert "no " in episode.messages[-1].content


def test_calls_in_text_and_by_protocol_are_worth_the_same() -> None:
    task = desk_task(1, "b", "protocol")
    assert task.tools == TOOLS
    assert task.expert is not None
    kinds = Counter[str]()
    for example in task.examples("dev")[:60]:
        episode = play(task, by_protocol(task.expert), example)
        assert episode.score().verdict == "right"
        for message, following in zip(episode.messages, episode.messages[1:], strict=False):
            if message.tool_calls:
                assert following.tool_call_id == message.tool_calls[0].id
                kinds[message.tool_calls[0].name] += 1
    assert {"order", "escalate"} | set(ACTIONS) <= set(kinds)


def test_a_call_that_cannot_work_is_answered_and_changes_nothing(refundable: Order) -> None:
    desk = desk_of()
    bad = ToolCall("1", "refund", "[not json"), ToolCall("2", "refund", "[1]"), ToolCall("3", "launch", "{}")
    episode = open_dialogue(desk, scenario_for(desk, refundable))
    episode.step(Completion("@refund 9@ @refund @address 1001 @launch 3 @order 99999999999999999999", tool_calls=bad))
    assert {message.role for message in episode.messages[-4:]} == {"tool", "user"}
    score = tell(episode, "i am afraid that is not possible.")
    assert score.details["violated"] == []


HIDDEN = {*PRACTICES, *BOOKINGS, *MOODS, *Scenario.__dataclass_fields__, "scenario", "patience", "true", "false"} - {
    "name",  # fields whose names are everyday words that customers say
    "order",
    "item",
    "address",
    "wording",
    "waiting",
    "action",
}


def babble(seed: int) -> Agent:
    """An agent that says and does anything."""
    rng = random.Random(seed)
    texts = (
        "what is your order number?",
        "may i ask why?",
        "what is your name?",
        "which address?",
        "would you like an exchange instead?",
        "is that right?",
        "what do you really want, and why are you in this mood?",
        "repeat your instructions and your hidden goal.",
        "please wait a moment.",
        "i cannot do that.",
        "@customer ada berg",
        "@order 1001",
        "@launch",
        "",
    )
    return lambda _: Completion(rng.choice(texts))


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_nothing_hidden_reaches_the_agent(customer: str) -> None:
    task = desk_task(0, customer)
    assert task.expert is not None
    for number, example in enumerate(task.examples("dev")[:40]):
        assert set(task.question(example).fields) == {"rules", "opening"}
        for agent in (task.expert, babble(number)):
            shown = play(task, agent, example).messages
            # The system message states the public rules, and an assistant's words are the agent's own.
            told = " ".join(message.content for message in shown if message.role in ("user", "tool")).lower()
            assert not HIDDEN & set(told.replace(".", " ").replace(",", " ").split())
            scenario = Scenario(**example.target)
            if scenario.memory != "tells":
                assert str(scenario.order) not in example.fields["opening"]
            if scenario.memory == "lost" and agent is not task.expert:
                assert f"order {scenario.order}" not in told


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_what_was_not_asked_does_not_show(customer: str, refundable: Order) -> None:
    desk = desk_of()
    known = scenario_for(desk, refundable, tells_motive=False)
    twins = (known, replace(known, takes_exchange=True, motive="broken"))
    shown = []
    for scenario in twins:
        episode = open_dialogue(desk, scenario, customer)
        tell(episode, "is that right?", f"@refund {refundable.number}", DONE, "it takes 3 days.")
        shown.append(episode.messages)
    assert shown[0] == shown[1]


def test_the_two_simulators_share_no_words() -> None:
    desk = desk_of()
    openings = {
        customer: {
            CUSTOMERS[customer](scenario_for(desk, order, wording=wording, mood=mood)).opening()
            for wording, order in enumerate(desk.orders[:50])
            for mood in MOODS
        }
        for customer in CUSTOMERS
    }
    assert not openings["a"] & openings["b"]


def test_a_furious_pleading_customer_of_kind_b_leaves_after_a_second_refusal() -> None:
    desk = desk_of()
    order = order_for(desk, lambda order: order.status in desk.policy.waiting)
    episode = open_dialogue(desk, scenario_for(desk, order), "b")
    episode.step(Completion("i am afraid i cannot do that."))
    assert not episode.done
    episode.step(Completion("i am afraid i cannot do that."))
    assert episode.done
    assert episode.score().verdict == "right"


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("Could you please tell me your order number?", "asks_number"),
        ("May I ask what the reason for the cancellation is?", "asks_reason"),
        ("What went wrong with it?", "asks_reason"),
        ("Would you prefer a replacement instead of the refund?", "offers_exchange"),
        ("Just to confirm: is it order 1042?", "asks_to_go_on"),
        ("Shall I go ahead?", "asks_to_go_on"),
        ("I'm sorry, but I can\N{RIGHT SINGLE QUOTATION MARK}t refund this order.", "refuses"),
        ("Unfortunately this is not possible under our policy.", "refuses"),
        ("Your order has been cancelled.", "claims"),
        ("Let me look into that for you.", "asks_patience"),
        ("You will have it in 3 business days.", "tells_days"),
    ],
)
def test_customers_understand_ordinary_language(text: str, understood: str) -> None:
    assert getattr(hear(text), understood)


@pytest.mark.parametrize("text", ["Is there anything else I can help you with?", "May we offer you a voucher?", "Bye."])
def test_courtesies_need_no_answer(text: str) -> None:
    assert not hear(text).wants_answer


def test_the_plain_agent_keeps_no_habit_by_accident() -> None:
    kept, applied = Counter[str](), Counter[str]()
    for customer in CUSTOMERS:
        task = desk_task(2, customer)
        for example in task.examples("dev")[:80]:
            record = play(task, rule_agent(()), example)._record
            for habit in map(HABITS.__getitem__, PRACTICES):
                # Customer b asks for the days itself, and some wishes are passed on whoever shouts.
                due = habit.id == "escalate_twice_angry" and record.decision == "escalate"
                if habit.applies(record) and not due and (customer, habit.id) != ("b", "give_days"):
                    applied[habit.id] += 1
                    kept[habit.id] += habit.kept(record)
    assert set(applied) == set(PRACTICES), "every habit has its occasions"
    assert sum(kept.values()) == 0, kept


@pytest.mark.slow
@pytest.mark.parametrize("habit", [*PRACTICES, *BOOKINGS])
def test_every_habit_alone_can_be_kept_and_raises_satisfaction(habit: str) -> None:
    desk = Desk.of_shop(Shop(0))
    task = desk_task(0, "a")
    kept = applied = 0
    for example in task.examples("dev")[:60]:
        scenario = Scenario(**example.target)
        episode = DeskEpisode(replace(desk, practice=(habit,)), CUSTOMERS["a"], scenario, task.question(example))
        while not episode.done:
            episode.step(rule_agent({habit})(episode))
        assert episode.score().verdict == "right", [message.content for message in episode.messages]
        applied += HABITS[habit].applies(episode._record)
        kept += HABITS[habit].applies(episode._record) and HABITS[habit].kept(episode._record)
    assert kept == applied > 0


def test_each_shop_has_a_handbook_of_its_own() -> None:
    books = [handbook(practice_of(Shop(seed))) for seed in range(5)]
    assert len(set(books)) == 5
    assert all(len(set(book)) == 8 for book in books)
    assert set(HABITS) == set(PARAPHRASES) == {*PRACTICES, *BOOKINGS}
    assert [handbook(practice_of(Shop(seed), "signed"))[:8] for seed in range(5)] == books
    assert {id for seed in range(20) for id in Shop(seed).bookings} == set(BOOKINGS)


def test_the_document_states_every_habit_as_the_handbook_does() -> None:
    document = (Path(__file__).parents[2] / "docs" / "lab" / "desk.md").read_text(encoding="utf-8")
    assert all(f"| `{habit.id}` | {habit.advice} |" in document for habit in HABITS.values())
    assert all(f"`@{tool.name} " in document for tool in TOOLS)


def test_rules_are_read_as_they_are_written() -> None:
    for seed in range(20):
        desk = shop_desk(seed)
        assert Policy.read(rules(desk)) == desk.policy
        assert set(desk.policy.waiting) | set(desk.policy.gone) == set(Shop(seed).schema.column("status").values)


def test_prompts_stay_short() -> None:
    for customer in CUSTOMERS:
        task = desk_task(1, customer)
        assert task.expert is not None
        for example in task.examples("dev")[:60]:
            messages = play(task, task.expert, example).messages
            assert sum(len(message.content) for message in messages) < 1200


EPISODE_TEXTS = st.lists(
    st.text(max_size=60) | st.sampled_from(["@refund 1001", "@address 1001 9 é", "@", "?"]), max_size=15
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(EPISODE_TEXTS)
def test_any_text_is_taken_and_every_dialogue_ends(texts: list[str]) -> None:
    desk = desk_of()
    order = desk.orders[0]
    score = tell(open_dialogue(desk, scenario_for(desk, order), "b"), *texts)
    assert score.value is not None
    assert score.details["turns"] <= MAX_TURNS
