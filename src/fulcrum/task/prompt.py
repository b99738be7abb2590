"""Prompt templates with named fields."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fulcrum.chat import Message, system, user
from fulcrum.errors import TaskError

_NAME = re.compile(r"(?!\s*\d*\s*$)[^.\[\]\"'\n]+")


@dataclass(frozen=True)
class PromptTemplate:
    """Text with `{named}` fields, and an optional system message; `{{` and `}}` stand for braces.

    A name may be any column's that holds none of `. [ ] : !` and is no number.

    Raises:
        TaskError: the template's braces do not match.
    """

    user: str
    system: str = ""

    def __post_init__(self) -> None:
        self.names()

    def names(self) -> set[str]:
        """Return the field names that the template shows."""
        try:
            parsed = [*string.Formatter().parse(self.user), *string.Formatter().parse(self.system)]
        except ValueError as error:
            raise TaskError(f"prompt template: {error}; write {{{{ and }}}} for plain braces") from error
        fields = [(name, spec, conversion) for _, name, spec, conversion in parsed if name is not None]
        odd = sorted(name for name, spec, conversion in fields if spec or conversion or not _NAME.fullmatch(name))
        if odd:
            raise TaskError(
                f"prompt template: {odd[0]!r} is not a field name; write {{{{ and }}}} for plain braces, and name "
                "columns without . [ ] : !"
            )
        return {name for name, _, _ in fields}

    def shown(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the fields that the template shows; all of them if it shows none."""
        names = self.names() or fields.keys()
        return {name: value for name, value in fields.items() if name in names}

    def messages(self, fields: Mapping[str, Any]) -> tuple[Message, ...]:
        """Return the messages for one example.

        Raises:
            TaskError: the template names a field that the example does not have.
        """
        missing = sorted(self.names() - fields.keys())
        if missing:
            raise TaskError(
                f"prompt template: the example has no field {missing[0]!r}; it has {', '.join(sorted(fields))}; write "
                "{{ and }} for plain braces"
            )
        prompt = user(self.user.format_map(fields))
        return (system(self.system.format_map(fields)), prompt) if self.system else (prompt,)

    def to_json(self) -> dict[str, str]:
        """Return the template, for content hashes."""
        return {"user": self.user, "system": self.system}
