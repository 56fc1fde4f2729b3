"""Postkeep with one of its walls taken out: `python bench/variants.py WALL COMMAND...`. For measuring only.

Nothing in the product switches a wall off. This program patches the functions themselves, in the parent,
before it forks the modules, so that what is left costs what it costs without that wall:

* `unsealed`: messages are stored in the clear. No AES, no derivation, no commitment on the message's path.
* `unrecorded`: no event is written, waited for or sent to the ledger.
* `unticketed`: the channel takes the tickets that it is shown unread: no signature, no time, no revocation.
* `whole`: nothing is taken out.
"""

import sys
from typing import Any


class Nothing:
    """AES-GCM's interface over no cipher at all."""

    def __init__(self, key: bytes) -> None:
        del key

    @staticmethod
    def encrypt(nonce: bytes, data: Any, associated: bytes | None) -> bytes:
        del nonce, associated
        return bytes(data) + bytes(16)

    @staticmethod
    def decrypt(nonce: bytes, data: Any, associated: bytes | None) -> bytes:
        del nonce, associated
        return bytes(data[:-16])


def unsealed() -> None:
    """Take the ciphers, derivations and commitments out of what seals messages."""
    from postkeep.crypto import chunked, message

    key, commitment = bytes(chunked.KEY_BYTES), bytes(chunked.COMMITMENT_BYTES)
    for module in (chunked, message):
        module.AESGCM = Nothing  # type: ignore[attr-defined, misc, assignment]
    chunked._derive = lambda *_: (key, 0, commitment)  # type: ignore[assignment]
    message._part_key = lambda given, _part: given  # type: ignore[assignment]


def unrecorded() -> None:
    """Take out every event: those noted, those waited for, and those stored with deposits."""
    from postkeep.services.ledger.trail import Trail
    from postkeep.services.vault import placing

    async def record(*_: Any, **__: Any) -> int:
        return 0

    Trail.note = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    Trail.record = record  # type: ignore[method-assign, assignment]
    placing.deposit_events = lambda *_: []  # type: ignore[assignment]


def unticketed() -> None:
    """Believe every ticket: its claims are read once and nothing is checked, then or later."""
    from postkeep.tickets import verify
    from postkeep.tickets.channel.judge import Judge

    for check in ("signatures", "audience", "time", "revocations", "chain", "possession", "ledger"):
        setattr(Judge, f"_check_{check}", lambda *_: None)
    verify.Verifier.parse = _recall  # type: ignore[method-assign, assignment]
    verify.Verifier.verify = _believe  # type: ignore[method-assign, assignment]


def _recall(verifier: Any, token: bytes) -> Any:
    from postkeep.tickets import verify

    found = verifier._proved.get(token)
    if found is None:
        found = verifier._proved[token] = verify._parse(b"", token)
    return found


def _believe(verifier: Any, token: bytes, **_: Any) -> Any:
    return verifier.parse(token)


WALLS = {"whole": lambda: None, "unsealed": unsealed, "unrecorded": unrecorded, "unticketed": unticketed}


def main() -> None:
    """Patch, then run the command line."""
    wall = sys.argv.pop(1)
    WALLS[wall]()
    from postkeep.node.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
