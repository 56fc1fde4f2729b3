"""Stage 5: the sensitivity label of one message. Pure.

Everything is internal unless its sender, who has signed in, says otherwise in its header: `X-Postkeep-Label:`
with a label's name, or `Sensitivity:` (RFC 4021 section 2.1.54). What a stranger writes there has no say.
"""

import re
from typing import Final

from postkeep.model.categories import Label
from postkeep.services.delivery.received import Received

_FIELD: Final = re.compile(rb"\n(x-postkeep-label|sensitivity):[ \t]*([a-z-]{1,40})[ \t]*\r\n")
_LABELS: Final = {
    (b"x-postkeep-label", b"public"): Label.PUBLIC,
    (b"x-postkeep-label", b"internal"): Label.INTERNAL,
    (b"x-postkeep-label", b"confidential"): Label.CONFIDENTIAL,
    (b"x-postkeep-label", b"secret"): Label.SECRET,
    (b"sensitivity", b"private"): Label.CONFIDENTIAL,
    (b"sensitivity", b"personal"): Label.CONFIDENTIAL,
    (b"sensitivity", b"company-confidential"): Label.CONFIDENTIAL,
}


def classify(received: Received, default: Label = Label.INTERNAL) -> Label:
    """Return the label; of several statements the most sensitive counts."""
    header = received.header
    if not received.envelope.origin.inside or (
        b"\nsensitivity:" not in header and b"\nx-postkeep-label:" not in header
    ):
        return default
    said = [_LABELS[found] for found in _FIELD.findall(header) if found in _LABELS]
    return max(said, default=default)
