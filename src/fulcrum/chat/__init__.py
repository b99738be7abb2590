"""Models: one protocol for the lab, Hugging Face in process, any OpenAI-compatible server, recordings, functions."""

from fulcrum.chat.completion import Completion, Failure, FailureKind, FinishReason, Usage
from fulcrum.chat.message import Message, Role, Tool, ToolCall, assistant, system, user
from fulcrum.chat.model import ChatModel, Finished, Request, Sampling, complete
from fulcrum.chat.resolve import resolve

__all__ = [
    "ChatModel",
    "Completion",
    "Failure",
    "FailureKind",
    "FinishReason",
    "Finished",
    "Message",
    "Request",
    "Role",
    "Sampling",
    "Tool",
    "ToolCall",
    "Usage",
    "assistant",
    "complete",
    "resolve",
    "system",
    "user",
]
