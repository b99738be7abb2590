"""A chat model whose every call is looked up, budgeted, stored and counted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from fulcrum.calls.budget import Budget
from fulcrum.calls.ledger import Ledger, is_local, spend_of
from fulcrum.calls.store import CallStore, call_key
from fulcrum.chat import ChatModel, Completion, Finished, Request


class RecordedModel:
    """Wraps a model for one role; it is a `ChatModel` itself.

    A call whose answer is stored is not made. Equal requests of one batch are one call, and so are those of several
    threads that ask at the same time, also through other models with the same store: one makes the call, the others
    wait, and to them its answer, be it a failure, counts as one from the store. When the budget is used up, what is
    in flight is still waited for and stored, and the rest comes back as `budget` failures.

    Args:
        model: who answers.
        role: for what, such as `actor`.
        store: where answers are kept.
        ledger: where they are counted.
        budget: what may be spent.
    """

    def __init__(self, model: ChatModel, role: str, store: CallStore, ledger: Ledger, budget: Budget) -> None:
        self.model = model
        self.role = role
        self._store = store
        self._ledger = ledger
        self._budget = budget

    @property
    def name(self) -> str:
        """Name of the wrapped model."""
        return self.model.name

    def identity(self, request: Request) -> dict[str, str]:
        """Identity of the wrapped model."""
        return self.model.identity(request)

    def close(self) -> None:
        """Close the wrapped model."""
        self.model.close()

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer every request, from the store where it can."""
        wanted = list(requests)
        self._ledger.expect(self.role, len(wanted))
        keys = [call_key(self.model.identity(request), request) for request in wanted]
        places: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            places.setdefault(key, []).append(index)
        open_keys = list(places)
        while open_keys:
            own, others = self._store.claims.take(open_keys)
            try:
                stored = self._store.get_many(list(own))  # after the claim: what was just settled is found here
                if stored:
                    self._store.claims.settle(stored)
                    yield self._hand_out(stored, places)
                missing = [key for key in own if key not in stored]
                for answers in self._make([wanted[places[key][0]] for key in missing], missing):
                    yield self._hand_out(answers, places)
            finally:
                self._store.claims.release(own)
            # Nobody waits while others wait for it: every claim of one's own is settled by now.
            waited = {key: claim.result() for key, claim in others.items()}
            joined = {key: replace(answer, from_store=True) for key, answer in waited.items() if answer is not None}
            if joined:
                yield self._hand_out(joined, places)
            open_keys = [key for key in waited if key not in joined]

    def _hand_out(self, answers: dict[str, Completion], places: dict[str, list[int]]) -> Finished:
        finished = [(index, completion) for key, completion in answers.items() for index in places[key]]
        for _, completion in finished:
            self._ledger.record(self.role, self.model.name, completion)
        return finished

    def _make(self, requests: Sequence[Request], keys: Sequence[str]) -> Iterator[dict[str, Completion]]:
        """Make the calls that no store can answer, and keep each group before handing it out."""
        open_calls = dict.fromkeys(range(len(requests)))
        taken = 0

        def affordable() -> Iterator[Request]:
            nonlocal taken
            for request in requests:
                if not self._budget.take():
                    return
                taken += 1
                yield request

        for group in self.model.generate(affordable()):
            answers = self._store.put(
                self.model, self.role, [(keys[index], requests[index], completion) for index, completion in group]
            )
            for index, completion in group:
                del open_calls[index]
                self._budget.settle(spend_of(completion, self.model.name, self._ledger.prices), completion.failure)
            self._store.claims.settle(answers)
            yield answers
            # An endpoint's calls in flight are paid for, so they are waited for; a local model's next batch is not.
            if is_local(self.model.name) and self._budget.exhausted():
                break
        if open_calls:
            self._budget.release(taken - (len(requests) - len(open_calls)))
            spent = Completion.failed("budget", self._budget.refuse())
            yield {keys[index]: spent for index in open_calls}
