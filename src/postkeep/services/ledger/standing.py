"""What the log tells kms at its start: how far the key store has come, and how the installation is governed.

Databases can be put back to an earlier moment one by one. What the log has seen later stands here, taken from
the word of the modules that may say it, and of no others.
"""

from typing import Final

import msgspec

from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.api import KeyState

HELD: Final = "held"
"""The code of `key.accept_restored` while a restored key store waits; without it, it was accepted."""
_KMS: Final = "kms"
_AUTHORITY: Final = "authority"


class Told(msgspec.Struct, frozen=True):
    """What is read of an entry whose event is over: whose it is, which, and what may stand here of it."""

    source: str
    number: int
    event: str = ""
    code: str = ""
    state: int = 0
    digest: str = ""
    note: str = ""


def after(standing: KeyState, source: str, event: AuditEvent | Told, index: int) -> KeyState:
    """Return what stands after an event that a module instance, as `kms-0.3f9a`, has reported."""
    if event.event == EventName.DUAL_CONTROL and _module(source) == _AUTHORITY:
        return msgspec.structs.replace(standing, dual_control=event.note == "on")
    if not event.state and event.event != EventName.KEY_ACCEPT:
        return standing
    if _module(source) != _KMS:
        return standing
    if event.event == EventName.KEY_ACCEPT and event.digest:
        standing = msgspec.structs.replace(standing, restored=event.digest, held=event.code == HELD)
    if event.state > standing.state:
        standing = msgspec.structs.replace(standing, state=event.state, index=index)
    return standing


def _module(source: str) -> str:
    """Return the module of an instance, as `kms.3f9a` or `kms-0.3f9a`."""
    return source.partition(".")[0].partition("-")[0]
