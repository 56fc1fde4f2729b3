"""Delivery status notifications: reports to a sender about what became of a message.

`build` makes one, `parse_report` reads one. Sources: RFC 3464 (the report's fields), RFC 6522
(multipart/report), RFC 3461 (what the sender asked for), RFC 6533 (the UTF-8 forms). A report travels with
the null reverse-path, and nothing that has one is ever answered by a report (RFC 5321 section 4.5.5).
"""

from postkeep.protocols.dsn.build import build
from postkeep.protocols.dsn.read import ReadReport, parse_report
from postkeep.protocols.dsn.report import Action, Original, Report, ReportedRecipient, wants

__all__ = [
    "Action",
    "Original",
    "ReadReport",
    "Report",
    "ReportedRecipient",
    "build",
    "parse_report",
    "wants",
]
