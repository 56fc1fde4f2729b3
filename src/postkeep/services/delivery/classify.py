"""Stage 5: the sensitivity label of one message. Pure.

Everything is internal unless its sender, who has signed in, raises it in the header: `X-Postkeep-Label:` with
`confidential` or `secret`, or `Sensitivity:` (RFC 4021 section 2.1.54). What a stranger writes has no say.
"""

import re
from typing import Final

from postkeep.model.categories import Label
from postkeep.services.delivery.received import Received

_FIELD: Final = re.compile(rb"\n(x-postkeep-label|sensitivity):[ \t]*([a-z-]{1,40})[ \t]*\r\n")
_LABELS: Final = {
    (b"x-postkeep-label", b"confidential"): Label.CONFIDENTIAL,
    (b"x-postkeep-label", b"secret"): Label.SECRET,
    (b"sensitivity", b"private"): Label.CONFIDENTIAL,
    (b"sensitivity", b"personal"): Label.CONFIDENTIAL,
    (b"sensitivity", b"company-confidential"): Label.CONFIDENTIAL,
}


def classify(received: Received, default: Label = Label.INTERNAL) -> Label:
    """Return the label: the default, or what its sender raised it to."""
    header = received.header
    if not received.envelope.origin.inside or (
        b"\nsensitivity:" not in header and b"\nx-postkeep-label:" not in header
    ):
        return default
    said = [_LABELS[found] for found in _FIELD.findall(header) if found in _LABELS]
    return max([default, *said])
