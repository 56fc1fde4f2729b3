"""K2: everything sealed is bound to its path: exchange any part of it and nothing opens."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError, LimitError, RefusedError
from postkeep.crypto import directory_key, hpke, message
from postkeep.crypto.context import context
from postkeep.crypto.epoch import (
    EPOCH_MESSAGES_MAX,
    EPOCH_SECONDS_MAX,
    EpochReader,
    EpochRewrapper,
    EpochStep,
    EpochWriter,
    chain_starts,
    open_seed,
)

IDS = [bytes([n]) * 16 for n in range(1, 9)]
SEEDS = hpke.new_private_seeds()
KEY = hpke.PrivateKey(SEEDS)
TENANT, PRINCIPAL, BODY, ITEM, EPOCH, OTHER = IDS[:6]

fields = st.one_of(st.binary(max_size=20), st.text(max_size=20), st.integers(0, 2**64 - 1))


@given(st.text(max_size=10), st.lists(fields, max_size=5), st.text(max_size=10), st.lists(fields, max_size=5))
def test_two_contexts_are_equal_only_if_all_their_fields_are(
    purpose: str, one: list[Any], other_purpose: str, two: list[Any]
) -> None:
    same = (purpose, [(type(f), f) for f in one]) == (other_purpose, [(type(f), f) for f in two])
    assert (context(purpose, *one) == context(other_purpose, *two)) is same


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 20))
def test_moving_bytes_between_fields_changes_the_context(one: bytes, two: bytes, cut: int) -> None:
    joined = one + two
    moved = (joined[:cut], joined[cut:])
    assert (context("p", one, two) == context("p", *moved)) is (moved == (one, two))


def test_an_integer_that_does_not_fit_is_an_error_and_not_another_context() -> None:
    for number in (-1, 2**64):
        with pytest.raises(OverflowError):
            context("p", number)


def step_of(index: int = 3) -> EpochStep:
    return EpochStep(index, os.urandom(32), os.urandom(32))


PATH = st.tuples(*[st.sampled_from(IDS)] * 4, st.integers(0, 5), st.sampled_from(["content", "metadata"]))


@settings(max_examples=400)
@given(PATH, PATH)
def test_a_wrapped_key_opens_at_its_own_path_only(
    one: tuple[bytes, bytes, bytes, bytes, int, str], two: tuple[bytes, bytes, bytes, bytes, int, str]
) -> None:
    tenant, body, principal, epoch, index, category = one
    step = step_of(index)
    keys = message.new_message_keys()
    wraps = message.wrap_keys(keys, step, tenant, body, principal, epoch)
    assert len(wraps) == message.WRAPS_BYTES
    wrap_key = getattr(step, category)
    if one == two:
        opened = message.unwrap_key(category, wraps, wrap_key, tenant, body, principal, epoch, index)
        assert opened == getattr(keys, category)
        return
    tenant, body, principal, epoch, index, other = two
    for key in {wrap_key, getattr(step, other)} if other == category else {wrap_key}:
        with pytest.raises(IntegrityError):
            message.unwrap_key(other, wraps, key, tenant, body, principal, epoch, index)


def test_the_two_halves_of_a_messages_wraps_cannot_change_places() -> None:
    step = EpochStep(0, b"k" * 32, b"k" * 32)
    wraps = message.wrap_keys(message.new_message_keys(), step, TENANT, BODY, PRINCIPAL, EPOCH)
    swapped = wraps[48:] + wraps[:48]
    for category in ("content", "metadata"):
        with pytest.raises(IntegrityError):
            message.unwrap_key(category, swapped, b"k" * 32, TENANT, BODY, PRINCIPAL, EPOCH, 0)


@pytest.mark.parametrize("wraps", [b"", bytes(95), bytes(96), bytes(97)])
def test_what_are_no_wraps_is_refused(wraps: bytes) -> None:
    with pytest.raises(IntegrityError):
        message.unwrap_key("content", wraps, bytes(32), TENANT, BODY, PRINCIPAL, EPOCH, 0)
    with pytest.raises(IntegrityError):
        message.unwrap_key("account", wraps, bytes(32), TENANT, BODY, PRINCIPAL, EPOCH, 0)


def test_each_part_opens_with_its_own_key_as_itself_only() -> None:
    keys = message.MessageKeys(b"k" * 32, b"k" * 32)  # even where the two keys are equal
    content = message.seal_content(keys, TENANT, BODY, b"content")
    summary = message.seal_summary(keys, TENANT, BODY, b"summary")
    text = message.seal_text(keys, TENANT, BODY, b"text")
    page = message.seal_page(keys, TENANT, BODY, 1, ITEM, b"page")
    segment = message.seal_segment(keys, TENANT, BODY, ITEM, b"segment")
    envelope = message.seal_envelope(keys, TENANT, BODY, ITEM, b"envelope")
    again = message.reseal_envelope(keys.metadata, TENANT, BODY, ITEM, b"fewer")
    openers: dict[str, Callable[[bytes], bytes]] = {
        "content": lambda sealed: message.open_content(keys.content, TENANT, BODY, sealed),
        "summary": lambda sealed: message.open_summary(keys.metadata, TENANT, BODY, sealed),
        "envelope": lambda sealed: message.open_envelope(keys.metadata, TENANT, BODY, ITEM, sealed),
        "text": lambda sealed: message.open_text(keys.content, TENANT, BODY, sealed),
        "page": lambda sealed: message.open_page(keys.metadata, TENANT, BODY, 1, ITEM, sealed),
        "segment": lambda sealed: message.open_segment_span(
            keys.content, TENANT, BODY, ITEM, sealed[:56], len(sealed), 56, sealed[56:]
        ),
    }
    sealed = {"content": content, "summary": summary, "envelope": envelope}
    sealed |= {"text": text, "page": page, "segment": segment}
    for name, opener in openers.items():
        assert opener(sealed[name]) == name.encode()
        for other in sealed.keys() - {name}:
            with pytest.raises(IntegrityError):
                opener(sealed[other])
    assert openers["envelope"](again) == b"fewer"


@given(st.sampled_from([0, 1, 2]), st.sampled_from(IDS))
def test_a_part_does_not_open_as_another_tenants_bodys_or_items(which: int, other: bytes) -> None:
    path = [TENANT, BODY, ITEM]
    keys = message.new_message_keys()
    envelope = message.seal_envelope(keys, TENANT, BODY, ITEM, b"e")
    content = message.seal_content(keys, TENANT, BODY, b"c")
    summary = message.seal_summary(keys, TENANT, BODY, b"s")
    path[which] = other
    tenant, body, item = path
    if path == [TENANT, BODY, ITEM]:
        return
    with pytest.raises(IntegrityError):
        message.open_envelope(keys.metadata, tenant, body, item, envelope)
    if which != 2:
        with pytest.raises(IntegrityError):
            message.open_content(keys.content, tenant, body, content)
        with pytest.raises(IntegrityError):
            message.open_summary(keys.metadata, tenant, body, summary)
        with pytest.raises(IntegrityError):
            message.open_content_span(
                keys.content, tenant, body, content[:56], len(content), 56, content[56:]
            )


@given(st.text(max_size=60).filter(lambda text: text.isprintable()))
def test_a_mailbox_name_opens_at_its_own_path_only(name: str) -> None:
    step = step_of(7)
    home = (TENANT, PRINCIPAL, IDS[6], EPOCH, 7)
    sealed = message.seal_name(step, *home[:4], name)
    assert message.open_name(step.metadata, *home, sealed) == name
    for at in range(5):
        moved: list[Any] = [*home]
        moved[at] = 8 if at == 4 else OTHER
        tenant, principal, mailbox, epoch, index = moved
        with pytest.raises(IntegrityError):
            message.open_name(step.metadata, tenant, principal, mailbox, epoch, index, sealed)


def test_a_reader_computes_the_writers_keys_in_any_order() -> None:
    writer = EpochWriter(TENANT, PRINCIPAL, 1, KEY.public_bytes, 1000)
    steps = [writer.take() for _ in range(60)]
    seed = open_seed(KEY, TENANT, PRINCIPAL, writer.epoch, writer.sealed)
    reader = EpochReader(writer.epoch, chain_starts(seed))
    for index in (59, 0, 30, 59, 31):
        assert reader.wrap_key("content", index) == steps[index].content
        assert reader.wrap_key("metadata", index) == steps[index].metadata
    assert len({key for step in steps for key in (step.content, step.metadata)}) == 120


def test_a_writer_keeps_nothing_that_leads_back_to_an_earlier_message() -> None:
    writer = EpochWriter(TENANT, PRINCIPAL, 1, KEY.public_bytes, 1000)
    seed = open_seed(KEY, TENANT, PRINCIPAL, writer.epoch, writer.sealed)
    first = writer.take()
    kept = {value for value in vars(writer).values() if isinstance(value, bytes)}
    starts = chain_starts(seed)
    assert not kept & {seed, *starts.values(), first.content, first.metadata}
    # What it keeps is the chain after the step: it yields the next key, and not this one.
    later = EpochReader(writer.epoch, {"content": writer._content})
    assert later.wrap_key("content", 0) == writer.take().content


def test_an_epoch_ends_with_its_last_message_or_its_day() -> None:
    writer = EpochWriter(TENANT, PRINCIPAL, 1, KEY.public_bytes, 1000)
    assert writer.usable(1000 + EPOCH_SECONDS_MAX - 1)
    assert not writer.usable(1000 + EPOCH_SECONDS_MAX)
    for _ in range(EPOCH_MESSAGES_MAX):
        assert writer.usable(1000)
        writer.take()
    assert not writer.usable(1000)
    with pytest.raises(LimitError):
        writer.take()


def test_a_reader_refuses_what_its_chains_do_not_cover() -> None:
    reader = EpochReader(EPOCH, {"metadata": bytes(32)})
    with pytest.raises(RefusedError):
        reader.wrap_key("content", 0)
    for index in (-1, EPOCH_MESSAGES_MAX):
        with pytest.raises(IntegrityError):
            reader.wrap_key("metadata", index)


@pytest.mark.parametrize("change", ["tenant", "principal", "epoch", "generation", "version", "key"])
def test_a_sealed_epoch_opens_for_its_own_principal_generation_and_name_only(change: str) -> None:
    writer = EpochWriter(TENANT, PRINCIPAL, 1, KEY.public_bytes, 0)
    path = {"tenant": TENANT, "principal": PRINCIPAL, "epoch": writer.epoch}
    key, sealed = KEY, bytearray(writer.sealed)
    if change in path:
        path[change] = OTHER
    elif change == "generation":
        sealed[4] = 2
    elif change == "version":
        sealed[0] = 2
    else:
        key = hpke.PrivateKey(hpke.new_private_seeds())
    with pytest.raises(IntegrityError):
        open_seed(key, path["tenant"], path["principal"], path["epoch"], bytes(sealed))


def test_a_rewrapped_epoch_opens_under_its_own_private_key_and_path_only() -> None:
    rewrapper = EpochRewrapper(SEEDS, TENANT, PRINCIPAL, 1)
    sealed = rewrapper.rewrap(EPOCH, b"s" * 32)
    assert rewrapper.open(EPOCH, sealed) == b"s" * 32
    others = [
        EpochRewrapper(hpke.new_private_seeds(), TENANT, PRINCIPAL, 1),
        EpochRewrapper(SEEDS, OTHER, PRINCIPAL, 1),
        EpochRewrapper(SEEDS, TENANT, OTHER, 1),
        EpochRewrapper(SEEDS, TENANT, PRINCIPAL, 2),
    ]
    for other in others:
        with pytest.raises(IntegrityError):
            other.open(EPOCH, sealed)
    with pytest.raises(IntegrityError):
        rewrapper.open(OTHER, sealed)
    with pytest.raises(IntegrityError):
        rewrapper.open(EPOCH, sealed[:-1])


def test_a_public_key_is_believed_only_as_the_directory_key_signed_it() -> None:
    signer = Ed25519PrivateKey.generate()
    anchor = signer.public_key().public_bytes_raw()
    statement = directory_key.public_key_statement(TENANT, PRINCIPAL, 1, KEY.public_bytes)
    signature = signer.sign(statement)
    good: list[Any] = [anchor, TENANT, PRINCIPAL, 1, KEY.public_bytes, signature]
    directory_key.check_public_key(*good)
    swapped = hpke.PrivateKey(hpke.new_private_seeds()).public_bytes
    changes = {0: bytes(32), 1: OTHER, 2: OTHER, 3: 2, 4: swapped, 5: bytes(64)}
    for at, value in [*changes.items(), (3, -1), (0, b""), (5, b"")]:
        bad = [*good]
        bad[at] = value
        with pytest.raises(IntegrityError):
            directory_key.check_public_key(*bad)
