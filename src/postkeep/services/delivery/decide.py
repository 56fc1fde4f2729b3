"""Stage 4: from findings to a verdict. Pure: the same findings, the same verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postkeep.services.delivery.findings import HEADER_TOO_LARGE, LOOP, Finding


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message: refused with a code, or accepted into mailboxes of a role."""

    refusal: str = ""
    """An error code that faces translate; empty: accepted."""
    role: str = "inbox"


_REFUSALS: Final = (LOOP, HEADER_TOO_LARGE)
"""Findings that refuse a message, the gravest first."""


def decide(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on a message."""
    found = {finding.code for finding in findings}
    for code in _REFUSALS:
        if code in found:
            return Verdict(refusal=code)
    return Verdict()
