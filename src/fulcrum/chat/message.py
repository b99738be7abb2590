"""Messages and tools, in the shape of the OpenAI chat protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to run a tool; `arguments` is the JSON text that the model wrote, unchecked."""

    id: str
    name: str
    arguments: str

    def to_json(self) -> dict[str, Any]:
        """Return the call as the OpenAI protocol writes it."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(data["id"], data["function"]["name"], data["function"]["arguments"])


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the tool as the OpenAI protocol writes it."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        function = data["function"]
        return cls(function["name"], function.get("description", ""), function.get("parameters", {}))


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the message as the OpenAI protocol writes it."""
        data: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            data["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.tool_call_id is not None:
            data["tool_call_id"] = self.tool_call_id
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; a missing or null content is an empty text."""
        return cls(
            data["role"],
            data.get("content") or "",
            tuple(ToolCall.from_json(call) for call in data.get("tool_calls") or ()),
            data.get("tool_call_id"),
        )


def system(content: str) -> Message:
    """Return a system message."""
    return Message("system", content)


def user(content: str) -> Message:
    """Return a user message."""
    return Message("user", content)


def assistant(content: str) -> Message:
    """Return an assistant message."""
    return Message("assistant", content)
