"""The lab's rule-made student and teacher, which note every call that they are paid for."""

import os
from pathlib import Path

from fulcrum.chat import Request
from fulcrum.hashing import canonical_json, content_hash
from fulcrum.strategies import lab


def _note(role: str, request: Request) -> None:
    line = f"{role} {content_hash(canonical_json(request.to_json()))}\n"
    with Path(os.environ["PAID_CALLS"]).open("a") as file:
        file.write(line)


def student(request: Request) -> str:
    _note("student", request)
    return lab.student(request)


def teacher(request: Request) -> str:
    _note("teacher", request)
    return lab.teacher(request)
