"""Worked sums `a+b*c+d-e*f`: the ways of working that a checkpoint meets, some careful, some sloppy.

The three manners are what makes `lab:arithmetic` a task for a society of agents: one sample is often wrong, each
time in another way, so that agreement carries information, and a model that learns from agreement can become
more careful. Which manner is usual depends on the sum, so that the likeliest answer is no better than a sample, as
it is for language models at what they find hard.
"""

import random
from typing import Literal

Manner = Literal["careful", "brisk", "rash"]
"""`careful` takes products apart and slips never; `brisk` writes them down and slips; `rash` forgets precedence."""

MANNERS: dict[Manner, float] = {"careful": 0.45, "brisk": 0.38, "rash": 0.17}
"""Share of each manner in training text."""

MANNERS_OF_LONG: dict[Manner, float] = {"careful": 0.22, "brisk": 0.18, "rash": 0.60}
"""The same for sums with two long products (`is_long`): most who meet one are in a hurry."""

READINGS = ("left to right", "sums first", "in pairs")
"""Wrong orders of working, each as likely."""

SLIP = 0.08
"""Chance that a brisk step is off."""

Sum = tuple[int, int, int, int, int, int]


def random_sum(rng: random.Random, largest: int = 29) -> Sum:
    """Return six integers from 0 to `largest`."""
    a, b, c, d, e, f = (rng.randint(0, largest) for _ in range(6))
    return a, b, c, d, e, f


def expression(numbers: Sum) -> str:
    """Return the sum as text."""
    a, b, c, d, e, f = numbers
    return f"{a}+{b}*{c}+{d}-{e}*{f}"


def value(numbers: Sum) -> int:
    """Return the right answer."""
    a, b, c, d, e, f = numbers
    return a + b * c + d - e * f


def is_long(numbers: Sum) -> bool:
    """Return whether either product begins with two digits."""
    _, b, _, _, e, _ = numbers
    return b > 9 and e > 9


def work(rng: random.Random, numbers: Sum, manner: Manner | None = None) -> str:
    r"""Return one way of working the sum, ending in `\boxed{...}`; wrong, if the manner makes it so."""
    if manner is None:
        shares = MANNERS_OF_LONG if is_long(numbers) else MANNERS
        manner = rng.choices(list(shares), list(shares.values()))[0]
    steps, result = {"careful": _careful, "brisk": _brisk, "rash": _rash}[manner](rng, numbers)
    return " ".join([*(f"{step}." for step in steps), f"\\boxed{{{result}}}"])


def _careful(rng: random.Random, numbers: Sum) -> tuple[list[str], int]:
    a, b, c, d, e, f = numbers
    first, second = b * c, e * f
    steps = [apart(b, c), apart(e, f)]
    if rng.random() < 0.5:
        steps += [f"{a}+{first}={a + first}", f"{a + first}+{d}={a + first + d}"]
    else:
        steps += [f"{a}+{d}={a + d}", f"{a + d}+{first}={a + d + first}"]
    total = a + first + d
    return [*steps, f"{total}-{second}={total - second}"], total - second


def apart(b: int, c: int) -> str:
    """Return a product worked by tens and ones: `17*23=17*20+17*3=340+51=391`."""
    tens, ones = c // 10 * 10, c % 10
    if not tens or not ones or b < 2:
        return f"{b}*{c}={b * c}"
    return f"{b}*{c}={b}*{tens}+{b}*{ones}={b * tens}+{b * ones}={b * c}"


def _brisk(rng: random.Random, numbers: Sum) -> tuple[list[str], int]:
    a, b, c, d, e, f = numbers
    first, second = _slip(rng, b * c), _slip(rng, e * f)
    middle = _slip(rng, a + first)
    total = _slip(rng, middle + d)
    result = _slip(rng, total - second)
    steps = [f"{b}*{c} is {first}", f"{e}*{f} is {second}", f"{a}+{first}={middle}", f"{middle}+{d}={total}"]
    return [*steps, f"{total}-{second}={result}"], result


def _rash(rng: random.Random, numbers: Sum) -> tuple[list[str], int]:
    a, b, c, d, e, f = numbers
    reading = rng.choice(READINGS)
    steps = [f"quick, {reading}"]

    def step(first: int, sign: str, second: int) -> int:
        exact = {"+": first + second, "-": first - second, "*": first * second}[sign]
        result = _slip(rng, exact)
        steps.append(f"{first}{sign}{second}={result}")
        return result

    match reading:
        case "left to right":
            result = step(step(step(step(step(a, "+", b), "*", c), "+", d), "-", e), "*", f)
        case "sums first":
            first, second = step(a, "+", b), step(c, "+", d)
            result = step(step(first, "*", second), "-", step(e, "*", f))
        case _:
            first, second = step(b, "*", c), step(d, "-", e)
            result = step(step(a, "+", first), "+", step(second, "*", f))
    return steps, result


def _slip(rng: random.Random, number: int) -> int:
    if rng.random() >= SLIP:
        return number
    return number + rng.choice((-1, 1)) * rng.choice((1, 2, 10, 10, 20, 100) if abs(number) > 99 else (1, 2, 10))


def final_answer(worked: str) -> str:
    """Return what stands in the box of a worked sum."""
    return worked.rpartition("{")[2].rstrip("}")
