"""Dialogues at a desk: the agent speaks and calls tools, a simulated customer answers, the database decides."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from fulcrum.chat import Completion, Failure, Message, user
from fulcrum.hashing import content_hash
from fulcrum.lab.desk.chatty import ChattyCustomer
from fulcrum.lab.desk.customer import Customer
from fulcrum.lab.desk.heard import hear
from fulcrum.lab.desk.place import Desk
from fulcrum.lab.desk.policy import Order, Policy
from fulcrum.lab.desk.practice import hands_over
from fulcrum.lab.desk.record import Record
from fulcrum.lab.desk.satisfaction import judge
from fulcrum.lab.desk.scenario import Scenario
from fulcrum.lab.desk.terse import TerseCustomer
from fulcrum.lab.desk.till import word_behind
from fulcrum.lab.desk.tools import ECHO, Result, read_calls, run
from fulcrum.task import Example, Question, Score, failed, graded

VERSION = 2
"""Version of the desk's rules and of its customers."""

MAX_TURNS = 12
"""Completions that the agent is given; after that the line goes dead."""

FAULTY = 2
"""Questions of the agent that the simulator could not read, at which the dialogue counts as its fault."""

CUSTOMERS: Mapping[str, type[Customer]] = {"a": TerseCustomer, "b": ChattyCustomer}
"""The simulators of customers by the name that a task's spec gives them."""


class DeskEnvironment:
    """Opens dialogues at one desk or several, with customers of one kind.

    Args:
        desks: whose rules, practice and database; the clerk's name in the rules of a dialogue tells which it is at.
        customer: a key of `CUSTOMERS`.
    """

    def __init__(self, desks: Sequence[Desk], customer: str) -> None:
        self._desks = {desk.policy.clerk: desk for desk in desks}
        self._customer = customer

    def __call__(self, example: Example, question: Question) -> "DeskEpisode":
        """Open a dialogue; the example's target is a `Scenario` as JSON."""
        desk = self._desks[Policy.read(example.fields["rules"]).clerk]
        return DeskEpisode(desk, CUSTOMERS[self._customer], Scenario(**example.target), question)

    def fingerprint(self) -> dict[str, Any]:
        """Return version, kind of customer, and what is secret about each desk as a hash."""
        secrets = [
            content_hash([desk.practice, astuple(desk.policy), [astuple(order) for order in desk.orders]])
            for desk in self._desks.values()
        ]
        return {"kind": "desk", "version": VERSION, "customer": self._customer, "desks": secrets}


class DeskEpisode:
    """One dialogue. Hidden things stay inside: the scenario, the record, the database.

    Args:
        desk: where it takes place.
        customer: the simulator that plays the customer.
        scenario: what the customer keeps to itself.
        question: the public side: the desk's rules and the customer's first words.
    """

    def __init__(self, desk: Desk, customer: type[Customer], scenario: Scenario, question: Question) -> None:
        self._desk = desk
        self._customer = customer(scenario)
        self._database = desk.open()
        order = next(order for order in desk.orders if order.number == scenario.order)
        self._record = Record(scenario, desk.policy, desk.policy.decide(order, scenario.action, scenario.name))
        # The customer must be asked for its first words, for its choice of words goes on from there.
        self._record.angry = _shouts(self._customer.opening())
        self._number_told = scenario.memory == "tells"
        self._messages = question.messages
        self._turns = 0
        self._failure: Failure | None = None
        self.question = question

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return self._messages

    @property
    def done(self) -> bool:
        """True once the customer is gone, or the turns are used up, or a call failed."""
        return self._record.left or self._turns >= MAX_TURNS or self._failure is not None

    def step(self, completion: Completion) -> None:
        """Take the agent's turn: tools that it calls are run and answered; otherwise the customer answers.

        What is said beside a call is heard by the customer, who waits for the agent to go on.

        Raises:
            RuntimeError: the dialogue is over.
        """
        if self.done:
            raise RuntimeError("step() after the dialogue was over")
        if completion.failure is not None:
            self._failure = completion.failure
            return
        self._turns += 1
        said, calls = read_calls(completion)
        self._messages = (*self._messages, completion.message())
        earlier = len(self._record.said)
        if said:
            self._record.said.append(said.lower())
        if not calls:
            self._answer(said)
            return
        for result in run(calls, self._database, self._desk.policy, self._word_behind):
            if result.kind in ("changed", "escalated") and self._record.said_before_acting is None:
                self._record.said_before_acting = earlier
                self._record.said_while_acting = said.lower()
            self._record.acts.append(result)
        self._messages += _echoes(self._record.acts[-len(calls) :])

    def score(self) -> Score:
        """Return the worth of the finished dialogue; `satisfaction` tells how it comes about.

        Raises:
            RuntimeError: the dialogue is not over.
        """
        if not self.done:
            raise RuntimeError("score() before the dialogue was over")
        if self._failure is not None:
            return failed(self._failure)
        judgement = judge(self._record, self._desk.practice, self._database.state() in self._goals())
        faults = [*judgement.violations, *(f"neglected: {habit}" for habit in judgement.missed)]
        return graded(
            judgement.value,
            "; ".join(faults if judgement.success else ["the customer did not get what was due", *faults]),
            success=judgement.success,
            violations=len(judgement.violations),
            satisfaction=judgement.satisfaction,
            turns=self._turns,
            simulator_fault=self._record.not_understood >= FAULTY,
            violated=list(judgement.violations),
            missed=list(judgement.missed),
        )

    def _word_behind(self, tool: str, order: Order) -> str:
        return word_behind(tool, self._desk.practice, order, self._desk.policy.clerk)

    def _answer(self, said: str) -> None:
        record, heard = self._record, hear(said)
        noticed = any(act.kind in ("changed", "escalated") for act in record.acts)
        if heard.asks_number:
            record.repeated_questions += self._number_told
            self._number_told = True
        record.exchange_offered |= heard.offers_exchange and record.scenario.action == "refund"
        reaction = self._customer.react(heard, noticed=noticed)
        record.left = reaction.leaves
        record.not_understood += not reaction.understood
        record.angry += not noticed and not reaction.leaves and _shouts(reaction.text)
        self._messages = (*self._messages, user(reaction.text))

    def _goals(self) -> list[tuple[tuple[object, ...], ...]]:
        """Return the states of the database that are right at the end."""
        record, scenario = self._record, self._record.scenario
        goals = [self._state_after(record.decision)]
        if hands_over(record, self._desk.practice):
            goals.append(self._state_after("escalate"))
        if record.decision == "allow" and record.exchange_offered and scenario.takes_exchange:
            goals[0] = self._state_after("exchange")
        return goals

    def _state_after(self, outcome: str) -> tuple[tuple[object, ...], ...]:
        scenario = self._record.scenario
        with self._desk.open() as database:
            if outcome == "escalate":
                database.escalate(scenario.order)
            elif outcome == "exchange":
                database.change("exchange", scenario.order)
            elif outcome == "allow":
                database.change(scenario.action, scenario.order, scenario.address)
            return database.state()


def _shouts(text: str) -> bool:
    return "!" in text


def _echoes(results: list[Result]) -> tuple[Message, ...]:
    """Return what the agent is told of its calls: in the form in which it made them."""
    in_text = [f"{ECHO} {result.text}" for result in results if result.call.id is None]
    by_protocol = [Message("tool", result.text, (), result.call.id) for result in results if result.call.id is not None]
    return (*by_protocol, *([user("\n".join(in_text))] if in_text else []))
