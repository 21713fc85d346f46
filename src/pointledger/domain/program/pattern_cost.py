"""Estimates the size of a regular expression's program, which determines what compiling and matching it cost.

The engine (RE2) does not backtrack: matching costs at most the size of the program times the length of the
text. Repetition multiplies the program: `(a{30}){30}` has 900 steps.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    rb"\\[pP](?:\{[^}]*\}|.)"  # a class of Unicode: up to thousands of ranges
    rb"|\\.|\[\^?\]?(?:\[:[^\]]*:\]|\\.|[^\]\\])*\]"  # an escape, a class in brackets
    rb"|\{(\d+)(?:,(\d*))?\}"  # a repetition
    rb"|.",
    re.DOTALL,
)
_UNICODE_STEPS = 2_500  # \pL compiles in 0.8 ms, 2,500 times as long as a plain character
_UNICODE_MATCHED = 20  # few of them are tried for a byte
_WIDE_STEPS = 5  # `.` and [^...] have a branch for each length of UTF-8
MAX_STEPS = 20_000  # RE2 refuses larger programs, after about 20 ms
_MAX_REPEAT = 1_000  # RE2 refuses more


class Steps(NamedTuple):
    """The size of the compiled program, and the part of it that each byte of the text can visit."""

    compiled: float
    matched: float


def pattern_steps(pattern: bytes) -> Steps:
    """Estimate a pattern's program."""
    open_groups: list[list[Steps]] = [[]]
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        last = open_groups[-1]
        if text == b"(":
            open_groups.append([])
        elif text == b")" and len(open_groups) > 1:
            inner = open_groups.pop()
            open_groups[-1].append(_sum(inner))
        elif token.group(1) is not None:
            if last:
                last[-1] = _repeated(
                    last[-1], max(int(n[:4] or 1) for n in token.groups(b"") if n is not None)
                )
        else:
            last.append(_steps_of(text))
    total = _sum([_sum(group) for group in open_groups])
    return Steps(min(total.compiled, MAX_STEPS), min(total.matched, MAX_STEPS))


def unknown_steps(length: float) -> Steps:
    """Return the most that a pattern of this many bytes can have: `{999}` is short and repeats much."""
    steps = min(length * 999 ** min(length // 6, 2) + _UNICODE_STEPS * (length // 3), MAX_STEPS)
    return Steps(steps, steps)


def _steps_of(token: bytes) -> Steps:
    if token[:2] in (rb"\p", rb"\P"):
        return Steps(_UNICODE_STEPS, _UNICODE_MATCHED)
    if token.startswith(b"[") and (rb"\p" in token or rb"\P" in token or b"[:^" in token):
        return Steps(_UNICODE_STEPS * (token.lower().count(rb"\p") + 1), _UNICODE_MATCHED)
    if token == b"." or token.startswith(b"[^"):
        return Steps(_WIDE_STEPS, _WIDE_STEPS)
    return Steps(2, 1)


def _sum(steps: list[Steps]) -> Steps:
    return Steps(1 + sum(each.compiled for each in steps), 1 + sum(each.matched for each in steps))


def _repeated(steps: Steps, times: int) -> Steps:
    times = min(max(times, 1), _MAX_REPEAT)
    return Steps(steps.compiled * times, steps.matched * times)
