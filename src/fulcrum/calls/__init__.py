"""Every call to a frozen model: stored, counted, budgeted."""

from fulcrum.calls.budget import Budget, BudgetSettings
from fulcrum.calls.ledger import Ledger, Price, Prices, Spend, Watcher, read_prices, spend_stored
from fulcrum.calls.recorded import RecordedModel
from fulcrum.calls.store import Call, CallStore, call_key

__all__ = [
    "Budget",
    "BudgetSettings",
    "Call",
    "CallStore",
    "Ledger",
    "Price",
    "Prices",
    "RecordedModel",
    "Spend",
    "Watcher",
    "call_key",
    "read_prices",
    "spend_stored",
]
