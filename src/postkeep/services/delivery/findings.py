"""Stage 3: what the checks found. A finding states; what follows from it is decided in `decide`."""

from dataclasses import dataclass
from typing import Final

from postkeep.services.delivery.received import Received

HOPS_MAX: Final = 100
"""Received fields: more of them is a loop (RFC 5321 section 6.3 asks for at least 100)."""

HEADER_OCTETS_MAX: Final = 1024 * 1024
"""Of the header section: no honest one comes near, and it is held in memory by every reader."""

LOOP: Final = "loop"
HEADER_TOO_LARGE: Final = "header_too_large"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw."""

    code: str


def examine(received: Received) -> list[Finding]:
    """Run the checks that need nothing but the message."""
    findings = []
    if received.header.count(b"\nreceived:") > HOPS_MAX:
        findings.append(Finding(LOOP))
    if len(received.header) > HEADER_OCTETS_MAX:
        findings.append(Finding(HEADER_TOO_LARGE))
    return findings
