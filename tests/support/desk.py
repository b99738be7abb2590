"""A support desk on disk whose customers, judges, student and teacher are scripted, for tests of whole recipes."""

import json
from pathlib import Path

TASK = """
name = "support"
policy = "policy.md"
customers = "customers.jsonl"
customer = "python:desk_bots:customer"
judge = "python:desk_bots:assessor"
max_tokens = 60
"""

BOTS = '''
import json

from fulcrum.chat import Completion, Usage


def said(request, text):
    """Count four characters as a token, as a plan does."""
    return Completion(text, usage=Usage(sum(len(m.content) for m in request.messages) // 4, len(text) // 4))


def customer(request):
    turns = sum(message.role == "user" for message in request.messages)
    return said(request, "Thanks, bye. [end]" if turns > 5 else "And what about my parcel? " * 4)


def assessor(request):
    kind = "sorry" in request.messages[-1].content
    return said(request, json.dumps({"success": kind, "satisfaction": 5 if kind else 2, "violations": []}))


def judge(request):
    told, shown = request.messages[0].content, request.messages[-1].content
    if "Two agents answer" not in told:
        return said(request, "safe")
    first, second = ("sorry" in part for part in shown.split("[first reply]")[1].split("[second reply]"))
    return said(request, "tie" if first == second else "first" if first else "second")


def student(request):
    return said(request, ("I am sorry. " if "say sorry" in request.messages[0].content else "") + "Which order? " * 12)


def teacher(request):
    if "You teach a support agent" in request.messages[0].content:
        lesson = {"scenario": "any dialogue", "when": "a parcel is late", "do": "say sorry", "why": "it calms. " * 60}
        return said(request, json.dumps(lesson))
    if "general advice" in request.messages[0].content:
        return said(request, "- be kind")
    return said(request, "I am sorry. Which order? " * 8)
'''

RECIPE = """
method = "strategies"
task = "dialogue:support.toml"

[models]
student = "python:desk_bots:student"
teacher = "python:desk_bots:teacher"
judge = "python:desk_bots:judge"

[settings]
rounds = 2
dialogues = 16
requests = 20
trial_dialogues = 16
gap_dialogues = 8
effect_dialogues = 4
"""


def write_desk(folder: Path, customers: int = 40) -> Path:
    """Write task, policy, customers, models and recipe into a folder, and return the recipe."""
    rows = [{"opening": f"my parcel {number} is late", "wish": f"refund of {number}"} for number in range(customers)]
    (folder / "customers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "policy.md").write_text("Refund late parcels. " * 10)
    (folder / "support.toml").write_text(TASK)
    (folder / "desk_bots.py").write_text(BOTS)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"
