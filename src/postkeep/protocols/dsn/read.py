"""Reading a report: what it says of each recipient. Reports are mail, so nothing in them is trusted."""

from typing import Final

import msgspec

from postkeep.protocols.mime import Part, decode_octets, parse, unfold
from postkeep.protocols.mime.headers import header_end, split_fields

RECIPIENTS_MAX: Final = 2000
"""Groups of fields that are read; a message of ours never has more recipients."""

Fields = dict[str, str]


class ReadReport(msgspec.Struct, frozen=True):
    """The machine-readable part of a report. Field names are in lower case."""

    message: Fields
    recipients: list[Fields]
    returned: bytes
    """The third part's body: the message or its header; empty: not there."""


def parse_report(message: bytes) -> ReadReport | None:
    """Read a multipart/report of type delivery-status; None for anything else."""
    root = parse(message).root
    kind = dict(root.parameters).get(b"report-type", b"").lower()
    if (root.type, root.subtype, kind) != (b"multipart", b"report", b"delivery-status"):
        return None
    status = next((part for part in root.children if _is_status(part)), None)
    if status is None:
        return None
    groups: list[Fields] = []
    start = status.body_offset
    while start < status.end and len(groups) <= RECIPIENTS_MAX:
        end = header_end(message, start, status.end)
        fields = {
            field.name.decode("ascii").lower(): decode_octets(
                unfold(message[field.value_start : field.value_end])
            )
            for field in split_fields(message, start, end)
        }
        if fields:
            groups.append(fields)
        start = end
    if not groups:
        return None
    returned = root.children[2] if len(root.children) > 2 else None  # noqa: PLR2004 - the third of three
    body = b"" if returned is None else message[returned.body_offset : returned.end]
    return ReadReport(groups[0], groups[1:], body)


def _is_status(part: Part) -> bool:
    return part.type == b"message" and part.subtype in (b"delivery-status", b"global-delivery-status")
