"""Keys and parts of one message: what is sealed when it is written, and opened when it is read.

Each message has two random keys. The content key seals the RFC 5322 bytes and the text that searches
compare, the metadata key the summary and, on its way out, the envelope. What is made of many messages for
the next reader, a page of summaries or a segment of a search index, is keyed and wrapped as a message is.
Every recipient gets both keys wrapped under one step of an epoch: 96 bytes, the message's wraps. Parts are
sealed with chunked encryption under keys derived from the message key, one per part, and bound to tenant,
body and part; wraps are bound to tenant, body, principal, epoch, index and category.
"""

# ruff: noqa: PLR0917 - a key's path is many identifiers in one fixed order

import hashlib
import os
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.utils import Buffer

from postkeep.base.errors import IntegrityError
from postkeep.crypto import chunked
from postkeep.crypto.context import context
from postkeep.crypto.epoch import EpochStep

KEY_BYTES: Final = 32
WRAP_BYTES: Final = KEY_BYTES + 16
WRAPS_BYTES: Final = 2 * WRAP_BYTES

# A wrap key comes from one step of one chain and wraps exactly one key, so the nonce says nothing that
# the key does not: a fixed one is as unique as the key. A random one would cost 24 bytes a message.
_NONCE: Final = bytes(12)
_PLACE: Final = {"content": 0, "metadata": WRAP_BYTES}


class MessageKeys(NamedTuple):
    """The two keys of a message, 32 random bytes each."""

    content: bytes
    metadata: bytes


def new_message_keys() -> MessageKeys:
    """Draw the keys of a new message."""
    return MessageKeys(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))


def wrap_keys(
    keys: MessageKeys, step: EpochStep, tenant: bytes, body: bytes, principal: bytes, epoch: bytes
) -> bytes:
    """Wrap both keys for one principal under one step of its epoch: content, then metadata, 48 bytes each."""
    index = step.index
    content = context("message key", "content", tenant, body, principal, epoch, index)
    metadata = context("message key", "metadata", tenant, body, principal, epoch, index)
    return AESGCM(step.content).encrypt(_NONCE, keys.content, content) + AESGCM(step.metadata).encrypt(
        _NONCE, keys.metadata, metadata
    )


def unwrap_key(
    category: str,
    wraps: bytes,
    wrap_key: bytes,
    tenant: bytes,
    body: bytes,
    principal: bytes,
    epoch: bytes,
    index: int,
) -> bytes:
    """Return the message's key of a category; raise IntegrityError if the wraps belong anywhere else."""
    start = _PLACE.get(category)
    if start is None or len(wraps) != WRAPS_BYTES:
        raise IntegrityError("not the wraps of a message")
    ctx = context("message key", category, tenant, body, principal, epoch, index)
    try:
        return AESGCM(wrap_key).decrypt(_NONCE, wraps[start : start + WRAP_BYTES], ctx)
    except InvalidTag as exc:
        raise IntegrityError("a message key fails its authentication") from exc


def _part_key(key: bytes, part: bytes) -> bytes:
    """Derive a part's own key, so that one key seals one kind of thing (keyed BLAKE2b, RFC 7693)."""
    return hashlib.blake2b(key=key, digest_size=KEY_BYTES, person=part).digest()


def seal_content(keys: MessageKeys, tenant: bytes, body: bytes, data: Buffer) -> bytes:
    """Seal the message's bytes."""
    return chunked.seal(_part_key(keys.content, b"content"), context("content", tenant, body), data)


def open_content(content_key: bytes, tenant: bytes, body: bytes, sealed: Buffer) -> bytes:
    """Open the message's bytes; raise IntegrityError for anything but what was sealed as this body."""
    return chunked.open_all(_part_key(content_key, b"content"), context("content", tenant, body), sealed)


def open_content_span(
    content_key: bytes,
    tenant: bytes,
    body: bytes,
    head: Buffer,
    sealed_total: int,
    sealed_offset: int,
    data: Buffer,
) -> bytes:
    """Open whole chunks of the content, as `chunked.span` named them."""
    key = _part_key(content_key, b"content")
    return chunked.open_span(key, context("content", tenant, body), head, sealed_total, sealed_offset, data)


def seal_text(keys: MessageKeys, tenant: bytes, body: bytes, data: Buffer) -> bytes:
    """Seal what a search compares of the message: its text, folded."""
    return chunked.seal(_part_key(keys.content, b"text"), context("text", tenant, body), data)


def open_text(content_key: bytes, tenant: bytes, body: bytes, sealed: Buffer) -> bytes:
    """Open a message's search text; raise IntegrityError for anything else."""
    return chunked.open_all(_part_key(content_key, b"text"), context("text", tenant, body), sealed)


def seal_page(
    keys: MessageKeys, tenant: bytes, page: bytes, kind: int, mailbox: bytes, data: Buffer
) -> bytes:
    """Seal a page of a mailbox: summaries of many messages under keys of its own."""
    return chunked.seal(_part_key(keys.metadata, b"page"), context("page", tenant, mailbox, page, kind), data)


def open_page(
    metadata_key: bytes, tenant: bytes, page: bytes, kind: int, mailbox: bytes, sealed: Buffer
) -> bytes:
    """Open a page; raise IntegrityError for another page, another kind, another mailbox."""
    key = _part_key(metadata_key, b"page")
    return chunked.open_all(key, context("page", tenant, mailbox, page, kind), sealed)


def seal_segment(keys: MessageKeys, tenant: bytes, segment: bytes, mailbox: bytes, data: Buffer) -> bytes:
    """Seal a segment of a mailbox's search index, under keys of its own."""
    ctx = context("segment", tenant, mailbox, segment)
    return chunked.seal(_part_key(keys.content, b"segment"), ctx, data)


def open_segment_span(
    content_key: bytes,
    tenant: bytes,
    segment: bytes,
    mailbox: bytes,
    head: Buffer,
    sealed_total: int,
    sealed_offset: int,
    data: Buffer,
) -> bytes:
    """Open whole chunks of a segment, as `chunked.span` named them."""
    key, ctx = _part_key(content_key, b"segment"), context("segment", tenant, mailbox, segment)
    return chunked.open_span(key, ctx, head, sealed_total, sealed_offset, data)


def seal_summary(keys: MessageKeys, tenant: bytes, body: bytes, data: Buffer) -> bytes:
    """Seal the message's encoded summary."""
    return chunked.seal(_part_key(keys.metadata, b"summary"), context("summary", tenant, body), data)


def open_summary(metadata_key: bytes, tenant: bytes, body: bytes, sealed: Buffer) -> bytes:
    """Open the encoded summary; raise IntegrityError for anything else."""
    return chunked.open_all(_part_key(metadata_key, b"summary"), context("summary", tenant, body), sealed)


def seal_envelope(keys: MessageKeys, tenant: bytes, body: bytes, item: bytes, data: Buffer) -> bytes:
    """Seal the envelope of one queue item."""
    return reseal_envelope(keys.metadata, tenant, body, item, data)


def reseal_envelope(metadata_key: bytes, tenant: bytes, body: bytes, item: bytes, data: Buffer) -> bytes:
    """Seal a queue item's envelope again, after some of its recipients are settled (fresh salt)."""
    key = _part_key(metadata_key, b"envelope")
    return chunked.seal(key, context("envelope", tenant, body, item), data)


def open_envelope(metadata_key: bytes, tenant: bytes, body: bytes, item: bytes, sealed: Buffer) -> bytes:
    """Open a queue item's envelope; raise IntegrityError for anything else."""
    key = _part_key(metadata_key, b"envelope")
    return chunked.open_all(key, context("envelope", tenant, body, item), sealed)


def seal_name(
    step: EpochStep, tenant: bytes, principal: bytes, mailbox: bytes, epoch: bytes, name: str
) -> bytes:
    """Seal a mailbox's name under the metadata chain; the step is used up by it."""
    ctx = context("mailbox name", tenant, principal, mailbox, epoch, step.index)
    return chunked.seal(_part_key(step.metadata, b"mailbox name"), ctx, name.encode())


def open_name(
    wrap_key: bytes,
    tenant: bytes,
    principal: bytes,
    mailbox: bytes,
    epoch: bytes,
    index: int,
    sealed: bytes,
) -> str:
    """Open a mailbox's name; raise IntegrityError for anything else."""
    ctx = context("mailbox name", tenant, principal, mailbox, epoch, index)
    return chunked.open_all(_part_key(wrap_key, b"mailbox name"), ctx, sealed).decode()


def seal_entries(
    step: EpochStep, tenant: bytes, principal: bytes, mailbox: bytes, scope: int, epoch: bytes, data: Buffer
) -> bytes:
    """Seal the entries of a mailbox or account in one scope; the step is used up by it."""
    ctx = context("entries", tenant, principal, mailbox, scope, epoch, step.index)
    return chunked.seal(_part_key(step.metadata, b"entries"), ctx, data)


def open_entries(
    wrap_key: bytes,
    tenant: bytes,
    principal: bytes,
    mailbox: bytes,
    scope: int,
    epoch: bytes,
    index: int,
    sealed: bytes,
) -> bytes:
    """Open entries; raise IntegrityError for anything but what was sealed for this mailbox and scope."""
    ctx = context("entries", tenant, principal, mailbox, scope, epoch, index)
    return chunked.open_all(_part_key(wrap_key, b"entries"), ctx, sealed)
