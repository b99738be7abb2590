"""What a simulated customer, or a rule of satisfaction, makes of the agent's words.

The cues are wide on purpose: an agent is a language model of any size and says things in its own way.
"""

import re
from dataclasses import dataclass

from fulcrum.lab.desk.policy import ACTIONS, Action

ACTION_CUES: dict[Action, str] = {
    "refund": r"refund|money back|get the money|reimburse",
    "exchange": r"exchange|swap|replac|new one|another one",
    "cancel": r"cancel|call off|do not want",
    "address": r"address|deliver(?:ed)? to|bring .* to|send .* to",
}
"""Words that speak of a wish; the customers' own wishes are written with them too."""

_ASKS_NUMBER = re.compile(r"order number|number of (?:the|your) order|which order|what order")
_ASKS_REASON = re.compile(r"\bwhy\b|\breasons?\b|what (?:is|was|went|happened)\b.*\b(?:wrong|happened|matter)")
_ASKS_NAME = re.compile(r"\b(?:your|full) name\b|who am i")
_ASKS_ADDRESS = re.compile(r"(?:what|which|new|full)\b.*\baddress|where (?:to|should)")
_ASKS_TO_GO_ON = re.compile(
    r"\bright\b|correct|confirm|\bsure\b|proceed|go ahead|shall i|should i|may i|do you want|would you like"
    r"|is that|okay"
)
_OFFERS = re.compile(r"anything else|something else|else i can|more i can|voucher|coupon|gift")
_REFUSES = re.compile(
    r"\bcan ?not\b|\bcan't\b|unable|not possible|impossible|not allowed|not permitted|\bwon't\b|will not be able"
    r"|must say no|have to decline|must decline|against (?:our|the) (?:rules?|policy)"
)
_CLAIMS = re.compile(
    r"refunded|cancelled|canceled|exchanged|\bdone\b|has been|have been|was made|is made|colleague|passed"
)
_WAITS = re.compile(r"moment|let me|\bi will\b|\bi'll\b|checking|hold on|look into|please wait")
_SENTENCES = re.compile(r"[^.?!\n]+[.?!]*")


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of the agent, understood.

    Attributes:
        asks_number: for the order number.
        asks_reason: why the customer wants it.
        asks_name: who the customer is.
        asks_address: where the order shall go.
        offers_exchange: whether an exchange would do.
        asks_to_go_on: whether something is right, or may be done.
        numbers: order numbers named in questions.
        actions: wishes named in questions.
        odd_question: asks something, and none of the above.
        refuses: says no.
        claims: says that something was done, or was passed on.
        asks_patience: says that it is looking, or is about to act.
        tells_days: says how many days something takes.
        hands_over: says that a colleague takes over.
    """

    asks_number: bool
    asks_reason: bool
    asks_name: bool
    asks_address: bool
    offers_exchange: bool
    asks_to_go_on: bool
    numbers: tuple[int, ...]
    actions: tuple[Action, ...]
    odd_question: bool
    refuses: bool
    claims: bool
    asks_patience: bool
    tells_days: bool
    hands_over: bool

    @property
    def wants_answer(self) -> bool:
        """True if the customer must answer before the agent can go on."""
        known = self.asks_number or self.asks_reason or self.asks_name or self.asks_address
        return known or self.offers_exchange or self.asks_to_go_on or self.odd_question


def hear(text: str) -> Heard:
    """Read one message of the agent."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    sentences = _SENTENCES.findall(text)
    # "anything else?" and offers of vouchers ask for nothing that has to be answered.
    questions = [one for one in sentences if one.rstrip().endswith("?") and not _OFFERS.search(one)]
    rest = " ".join(one for one in sentences if one not in questions)
    asked = " ".join(questions)
    asks_number = bool(_ASKS_NUMBER.search(asked)) and not re.search(r"\d{4}", asked)
    asks_reason = bool(_ASKS_REASON.search(asked))
    asks_name = bool(_ASKS_NAME.search(asked))
    asks_address = bool(_ASKS_ADDRESS.search(asked)) and not re.search(r"\d [a-z]", asked)
    actions: tuple[Action, ...] = tuple(action for action in ACTIONS if re.search(ACTION_CUES[action], asked))
    offers_exchange = "exchange" in actions and bool(re.search(r"instead|would you|prefer|rather|offer|\bor\b", asked))
    numbers = tuple(int(number) for number in re.findall(r"\b\d{4}\b", asked))
    asks_to_go_on = bool(numbers or actions or _ASKS_TO_GO_ON.search(asked))
    known = asks_number or asks_reason or asks_name or asks_address or offers_exchange
    return Heard(
        asks_number=asks_number,
        asks_reason=asks_reason,
        asks_name=asks_name,
        asks_address=asks_address,
        offers_exchange=offers_exchange,
        asks_to_go_on=asks_to_go_on and (bool(numbers) or not known),
        numbers=numbers,
        actions=actions,
        odd_question=bool(questions) and not known and not asks_to_go_on,
        refuses=bool(_REFUSES.search(rest)),
        claims=bool(_CLAIMS.search(rest)),
        asks_patience=bool(_WAITS.search(rest)),
        tells_days=bool(re.search(r"\d+ (?:working |business )?days?\b", text)),
        hands_over="colleague" in rest or "escalat" in rest,
    )
