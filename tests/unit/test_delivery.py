"""Delivery from envelope to sealed deposit, opened again with the readers' own keys."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.delivery_world import World

from postkeep.base.address import parse_address
from postkeep.base.errors import IntegrityError, PostkeepError
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.categories import Label
from postkeep.protocols.dsn import parse_report
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters
from postkeep.services.authority.api import QueueKey, Recipient, Route
from postkeep.services.delivery.classify import classify
from postkeep.services.delivery.decide import decide
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient, Origin
from postkeep.services.delivery.findings import HEADER_OCTETS_MAX, HOPS_MAX, examine
from postkeep.services.delivery.queue_keys import KNOWN_SECONDS, QueueKeyCache
from postkeep.services.delivery.received import Received, protocol_word, receive
from postkeep.services.kms.api import SignedPublicKey

ACME, OTHER = new_id(), new_id()
Named = str | tuple[str, RcptParameters]
MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
STRANGER = Origin("client.example.com", "192.0.2.7", extended=True, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
INSIDER = Origin("laptop", "", extended=True, tls="TLSv1.3 X", tenant=ACME, principal=new_id())


def envelope(
    world: World,
    recipients: Sequence[Named],
    *,
    sender: str = "a@example.com",
    origin: Origin = STRANGER,
    parameters: MailParameters = MailParameters(),  # noqa: B008 - a frozen value
) -> Envelope:
    named = [(entry, RcptParameters()) if isinstance(entry, str) else entry for entry in recipients]
    return Envelope(
        "id1",
        origin,
        parse_address(sender) if sender else None,
        parameters,
        tuple(EnvelopeRecipient(parse_address(name), world.routes[name], given) for name, given in named),
    )


def received(content: bytes, origin: Origin = STRANGER) -> Received:
    return receive(Envelope("id1", origin, None, MailParameters(), ()), content, "mx.example.org", 0)


def test_one_body_a_company_and_a_copy_for_everyone_in_it() -> None:
    world = World()
    ann, bob = world.person("ann@acme.example", ACME), world.person("bob@acme.example", ACME)
    eve = world.person("eve@other.example", OTHER)
    names = ["ann@acme.example", "bob@acme.example", "eve@other.example"]
    asyncio.run(world.pipeline().deliver(envelope(world, names), MESSAGE))
    assert len(world.deposits) == 2
    assert world.copies(ann)[0].body == world.copies(bob)[0].body != world.copies(eve)[0].body
    for person in (ann, bob, eve):
        copy = world.copies(person)[0]
        assert copy.message.startswith(b"Return-Path: <a@example.com>\r\nReceived: from client.example.com")
        assert copy.message.endswith(MESSAGE)
        assert copy.summary.subject == "hello"
        assert copy.summary.size == len(copy.message)
        assert copy.role == "inbox"


def test_the_other_recipients_of_a_message_are_not_named() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    world.person("bob@acme.example", ACME)
    asyncio.run(world.pipeline().deliver(envelope(world, ["ann@acme.example", "bob@acme.example"]), MESSAGE))
    assert b"acme.example" not in world.copies(ann)[0].message
    asyncio.run(world.pipeline().deliver(envelope(world, ["ann@acme.example"]), MESSAGE))
    trace = world.copies(ann)[1].message.split(b"\r\n\r\n")[0]
    assert b"\tfor <ann@acme.example>;\r\n" in trace
    assert b"with ESMTPS id id1\r\n\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n" in trace
    assert b"([192.0.2.7])" in trace


def test_a_person_behind_two_addresses_gets_one_copy() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    world.routes["sales@acme.example"] = world.routes["ann@acme.example"]
    names = ["ann@acme.example", "sales@acme.example"]
    asyncio.run(world.pipeline().deliver(envelope(world, names), MESSAGE))
    assert len(world.copies(ann)) == 1


@pytest.mark.parametrize(
    ("origin", "smtputf8", "word"),
    [
        (Origin("c", "", extended=False), False, "SMTP"),
        (Origin("c", "", extended=True), False, "ESMTP"),
        (STRANGER, False, "ESMTPS"),
        (STRANGER, True, "UTF8SMTPS"),
        (INSIDER, False, "ESMTPSA"),
    ],
)
def test_the_trace_says_how_the_message_came(origin: Origin, smtputf8: bool, word: str) -> None:  # noqa: FBT001
    assert protocol_word(Envelope("x", origin, None, MailParameters(smtputf8=smtputf8), ())) == word


def test_a_hello_name_can_not_add_a_header_field() -> None:
    evil = Origin("x)\r\nBcc: victim@example.com", "192.0.2.1", extended=True)
    trace = received(MESSAGE, evil).trace
    assert b"\r\nBcc" not in trace
    assert trace.count(b"\r\n") == 3


def test_return_path_fields_of_others_are_taken_out() -> None:
    content = b"Return-Path: <x@y.z>\r\n folded\r\nSubject: s\r\nreturn-path:\r\n\r\nReturn-Path: body\r\n"
    assert received(content).message == b"Subject: s\r\n\r\nReturn-Path: body\r\n"


def test_a_loop_and_a_monstrous_header_are_refused() -> None:
    hops = b"Received: by x\r\n" * HOPS_MAX
    assert decide(examine(received(hops + b"\r\n"))).refusal == ""
    assert decide(examine(received(hops + b"RECEIVED: by y\r\n\r\n"))).refusal == "loop"
    assert (
        decide(examine(received(b"X: " + b"y" * HEADER_OCTETS_MAX + b"\r\n\r\n"))).refusal
        == "header_too_large"
    )
    world = World()
    world.person("ann@acme.example", ACME)
    with pytest.raises(PostkeepError) as caught:
        asyncio.run(
            world.pipeline().deliver(envelope(world, ["ann@acme.example"]), hops + b"Received: z\r\n\r\n")
        )
    assert caught.value.code == "loop"
    assert not world.deposits


@pytest.mark.parametrize(
    ("field", "label"),
    [
        (b"Sensitivity: Company-Confidential", Label.CONFIDENTIAL),
        (b"Sensitivity: Private", Label.CONFIDENTIAL),
        (b"X-Postkeep-Label: secret", Label.SECRET),
        (b"X-Postkeep-Label: public", Label.INTERNAL),
        (b"X-Postkeep-Label: nonsense", Label.INTERNAL),
        (b"Subject: X-Postkeep-Label: secret", Label.INTERNAL),
    ],
)
def test_a_sender_who_has_signed_in_may_raise_the_label(field: bytes, label: Label) -> None:
    content = field + b"\r\n\r\nbody\r\n"
    assert classify(received(content, INSIDER)) == label
    assert classify(received(content, STRANGER)) == Label.INTERNAL


def test_members_of_a_group_outside_are_served_through_the_queue() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    world.routes["team@acme.example"] = Route(
        "team@acme.example",
        "local",
        [Recipient(ann.key)],
        ["x@far.example", "y@far.example", "z@away.example"],
        ACME,
    )
    asked = MailParameters(ret="HDRS", envid="e1")
    asyncio.run(world.pipeline().deliver(envelope(world, ["team@acme.example"], parameters=asked), MESSAGE))
    assert len(world.copies(ann)) == 1
    queued = world.queued(ACME)
    assert [(destination, len(found.recipients)) for destination, found, _ in queued] == [
        ("far.example", 2),
        ("away.example", 1),
    ]
    assert queued[0][1].reverse_path == "team@acme.example"
    assert (queued[0][1].ret, queued[0][1].envid) == ("HDRS", "e1")
    assert queued[0][2].startswith(b"Received: ")
    asyncio.run(world.pipeline().deliver(envelope(world, ["team@acme.example"], sender=""), MESSAGE))
    assert world.queued(ACME)[-1][1].reverse_path == ""


def test_smtputf8_is_asked_of_others_only_where_something_needs_it() -> None:
    world = World()
    world.routes["team@acme.example"] = Route("team@acme.example", "local", [], ["x@far.example"], ACME)
    world.routes["club@acme.example"] = Route("club@acme.example", "local", [], ["ünal@far.example"], ACME)
    asking, silent = MailParameters(smtputf8=True), MailParameters()
    subject = "Subject: Grüße\r\n\r\n".encode()
    needs = []
    for name, parameters, content in (
        ("team@acme.example", asking, MESSAGE),
        ("team@acme.example", asking, subject),
        ("team@acme.example", silent, subject),
        ("club@acme.example", silent, MESSAGE),
    ):
        asyncio.run(world.pipeline().deliver(envelope(world, [name], parameters=parameters), content))
        found = world.queued(ACME)[-1][1]
        needs.append((found.smtputf8, found.body))
    assert needs == [(False, ""), (True, "8BITMIME"), (False, "8BITMIME"), (True, "")]


def test_queue_keys_are_asked_for_once_in_a_while() -> None:
    world = World()
    asked: list[bytes] = []
    now = [0.0]

    class Source:
        async def queue_key(self, request: QueueKey) -> SignedPublicKey:
            asked.append(request.tenant)
            return await world.queue_key(request.tenant)

    async def scenario() -> None:
        cache = QueueKeyCache(Source(), lambda: now[0])
        for tenant in (ACME, ACME, NOBODY, ACME):
            assert (await cache.get(tenant)).principal == tenant
        now[0] = KNOWN_SECONDS
        await cache.get(ACME)

    asyncio.run(scenario())
    assert asked == [ACME, NOBODY, ACME]


def test_nothing_stored_is_told_to_the_sender() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    world.refuse[ann.key.principal] = "over_quota"
    with pytest.raises(PostkeepError) as caught:
        asyncio.run(world.pipeline().deliver(envelope(world, ["ann@acme.example"]), MESSAGE))
    assert (caught.value.code, caught.value.temporary) == ("over_quota", False)


def test_one_full_mailbox_does_not_keep_the_others_from_their_copy_and_the_sender_gets_a_report() -> None:
    world = World()
    ann, bob = world.person("ann@acme.example", ACME), world.person("bob@acme.example", ACME)
    sender = world.person("eve@other.example", OTHER)
    world.refuse[bob.key.principal] = "over_quota"
    asked = RcptParameters(orcpt="rfc822;bobby@x.example")
    names: list[Named] = ["ann@acme.example", ("bob@acme.example", asked)]
    asyncio.run(world.pipeline().deliver(envelope(world, names, sender="eve@other.example"), MESSAGE))
    assert len(world.copies(ann)) == 1
    assert not world.copies(bob)
    report = world.copies(sender)[0].message
    assert report.startswith(b"Return-Path: <>\r\n")
    found = parse_report(report)
    assert found is not None
    (about,) = found.recipients
    assert about["final-recipient"] == "rfc822; bob@acme.example"
    assert about["original-recipient"] == "rfc822; bobby@x.example"
    assert (about["action"], about["status"]) == ("failed", "5.2.2")


def test_a_report_to_a_stranger_goes_through_the_installations_queue() -> None:
    world = World()
    world.person("ann@acme.example", ACME)
    world.person("bob@acme.example", ACME, full=True)
    names = ["ann@acme.example", "bob@acme.example"]
    asyncio.run(world.pipeline().deliver(envelope(world, names), MESSAGE))
    (destination, queued, content) = world.queued(NOBODY)[0]
    assert (destination, queued.reverse_path, queued.recipients[0].address) == (
        "example.com",
        "",
        "a@example.com",
    )
    assert b"message/delivery-status" in content


def test_no_report_answers_the_null_sender_or_one_who_wants_none() -> None:
    world = World()
    world.person("ann@acme.example", ACME)
    world.person("bob@acme.example", ACME, full=True)
    names = ["ann@acme.example", "bob@acme.example"]
    asyncio.run(world.pipeline().deliver(envelope(world, names, sender=""), MESSAGE))
    quiet: list[Named] = ["ann@acme.example", ("bob@acme.example", RcptParameters(("NEVER",)))]
    asyncio.run(world.pipeline().deliver(envelope(world, quiet), MESSAGE))
    assert not world.queued(NOBODY)


def test_a_sender_who_asks_hears_of_success() -> None:
    world = World()
    world.person("ann@acme.example", ACME)
    asking: list[Named] = [("ann@acme.example", RcptParameters(("SUCCESS",)))]
    asyncio.run(world.pipeline().deliver(envelope(world, asking), MESSAGE))
    found = parse_report(world.queued(NOBODY)[0][2])
    assert found is not None
    assert [about["action"] for about in found.recipients] == ["delivered"]


def test_a_key_that_kms_has_not_signed_is_never_sealed_to() -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    mallory = world.person("mallory@acme.example", ACME)
    swapped = SignedPublicKey(ACME, ann.key.principal, 1, mallory.key.public_key, ann.key.signature)
    world.routes["ann@acme.example"] = Route("ann@acme.example", "local", [Recipient(swapped)])
    with pytest.raises(IntegrityError):
        asyncio.run(world.pipeline().deliver(envelope(world, ["ann@acme.example"]), MESSAGE))
    assert not world.deposits


def test_large_messages_are_sealed_in_a_thread_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    ann = world.person("ann@acme.example", ACME)
    threads: list[object] = []
    real = asyncio.to_thread

    async def counted(work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        threads.append(work)
        return await real(work, *args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    content = MESSAGE + b"0123456789abcdef\r\n" * 70_000
    asyncio.run(world.pipeline().deliver(envelope(world, ["ann@acme.example"]), content))
    assert len(threads) == 1
    assert world.copies(ann)[0].message.endswith(content)
