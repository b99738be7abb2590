"""Every error that Fulcrum raises on purpose.

::

    FulcrumError
    ├── SettingsError (ValueError)          a recipe, a flag or a file of the user cannot work
    ├── TaskError (ValueError)              a task's data, split, template or target cannot work
    ├── ModelError (RuntimeError)           a model name cannot be resolved or loaded
    ├── StoreError (RuntimeError)           a call store is damaged, foreign, or of another schema
    ├── RunError (ValueError)               a run folder cannot be continued or read
    ├── BudgetSpent (RuntimeError)          the budget is used up; all that was paid for is stored
    ├── TooManyFailures (RuntimeError)      more calls failed than the recipe allows
    ├── LibraryError (ValueError)           a library of strategies is damaged, or refuses a change
    │   └── LibraryConflict                 somebody else has changed the strategy meanwhile
    ├── TrainingError (RuntimeError)        a training cannot start or has gone wrong
    └── MissingExtra (ImportError)          an optional package is not installed

A failed call of a model is none of these: it is data, see `fulcrum.chat.Failure`.
The command line prints the message of a `FulcrumError` and exits with 2.
"""


class FulcrumError(Exception):
    """Base of all errors; its text says what was given, where, why it cannot work, and what to change."""


class SettingsError(FulcrumError, ValueError):
    """A recipe, flag or user file cannot work; the text holds one line for each problem found."""


class TaskError(FulcrumError, ValueError):
    """A task's data, split, prompt template or target cannot work."""


class ModelError(FulcrumError, RuntimeError):
    """A model name cannot be resolved, or the model cannot be loaded."""


class StoreError(FulcrumError, RuntimeError):
    """A call store is damaged, is not a call store, or has another schema version."""


class RunError(FulcrumError, ValueError):
    """A run folder cannot be read, or cannot be continued with the settings given."""


class BudgetSpent(FulcrumError, RuntimeError):
    """The budget is used up; every answer paid for is stored and the run can be continued."""


class TooManyFailures(FulcrumError, RuntimeError):
    """More calls failed than `budget.failure_share` allows."""


class LibraryError(FulcrumError, ValueError):
    """A library of strategies holds a line that is no event, or refuses a change that makes no sense."""


class LibraryConflict(LibraryError):
    """Somebody else has written about the strategy since it was looked at."""


class TrainingError(FulcrumError, RuntimeError):
    """A training cannot start, or its loss is not a number any more."""


class MissingExtra(FulcrumError, ImportError):
    """An optional package is not installed; the text names the extra that brings it."""
