"""Identifiers of messages and threads that outlive a copy and a move (RFC 8474). Pure.

They are derived, so that nothing has to be kept: EMAILID from the body, which copies of a message have in
common; THREADID from the message that began the conversation, as the header names it.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

THREAD_BYTES: Final = 16


def email_id(body: bytes) -> bytes:
    """Return EMAILID for the identifier of a body."""
    return b"M" + body.hex().encode("ascii")


def thread_root(references: Sequence[str], in_reply_to: Sequence[str], message_id: str) -> bytes:
    """Return what tells a thread apart, 16 octets, from identifiers without brackets; empty: there is none.

    The first of References is where the thread began (RFC 5322 section 3.6.4).
    """
    roots = (*references[:1], *in_reply_to[:1], message_id)
    root = next((one for one in roots if one), "")
    if not root:
        return b""
    return hashlib.blake2b(root.encode("utf-8", "surrogateescape"), digest_size=THREAD_BYTES).digest()


def thread_id(root: bytes) -> bytes:
    """Return THREADID for what `thread_root` found; NIL is the caller's for an empty one."""
    return b"T" + root.hex().encode("ascii")
