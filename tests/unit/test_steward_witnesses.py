"""What the steward makes of what witnesses say: every answer, told once, remembered over a restart (A3)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from tests.witness_log import (
    ORIGIN,
    POST_QUANTUM_PUBLIC,
    PUBLIC,
    SmallLog,
    cosigner,
    make_directory,
    make_witness,
)

from postkeep.base.clock import FixedClock
from postkeep.base.errors import InvalidInputError, UnavailableError
from postkeep.crypto import merkle
from postkeep.crypto.cosignature import MLDSA44
from postkeep.crypto.note import verifier_key
from postkeep.faces.witness.replies import reply_to
from postkeep.protocols.http.head import RequestHead
from postkeep.services.ledger import api
from postkeep.services.steward import witnesses as subject
from postkeep.services.steward.witness_http import Answer, parse_url
from postkeep.services.steward.witnesses import Witnesses, peer_of
from postkeep.stores.witness_logs import KnownLog, WitnessDirectory

LOG = SmallLog()
PEER = peer_of("http://witness.example/", cosigner().verifier_keys())


class Ledger:
    """A small log in the ledger's place, as long as the test wants it."""

    def __init__(self, log: SmallLog = LOG, size: int = 100) -> None:
        self.log, self.size = log, size
        self.added: list[tuple[int, list[str]]] = []

    async def checkpoint(self, *, ticket: bytes) -> api.CheckpointNote:
        return api.CheckpointNote(self.log.note(self.size))

    async def consistency(self, request: api.Consistency, *, ticket: bytes) -> api.Proof:
        return api.Proof(merkle.consistency_proof(request.old, request.new, self.log.node))

    async def add_cosignatures(self, request: api.AddCosignatures, *, ticket: bytes) -> api.Done:
        self.added.append((request.size, request.lines))
        return api.Done()


class Tickets:
    async def get(self) -> bytes:
        return b"ticket"


class Events:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def note(self, event: str, **fields: Any) -> None:
        assert (event, fields["note"]) == ("ledger.witness", "witness.example/w1")
        self.codes.append(fields["code"])


class World:
    """A real witness that is asked without a network, and the steward's task."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.witness = make_witness(make_directory(directory / "w"))
        self.ledger, self.events, self.clock = Ledger(), Events(), FixedClock()
        self.posts = 0
        self.change: Callable[[Answer], Answer] = lambda answer: answer
        self.start()

    def start(self) -> None:
        self.task = Witnesses(
            [PEER],
            ledger=cast("Any", self.ledger),
            tickets=Tickets(),
            sender=self,
            trail=cast("Any", self.events),
            clock=self.clock,
            directory=self.directory,
        )

    async def post(self, url: str, body: bytes) -> Answer:
        self.posts += 1
        reply = reply_to(RequestHead({}, "POST", "/add-checkpoint"), body, self.witness.add_checkpoint)
        return self.change(Answer(reply.status, reply.content_type, reply.body))

    def show(self) -> str:
        asyncio.run(self.task.show(PEER))
        status = asyncio.run(self.task.status(cast("Any", None), cast("Any", None)))
        return status.witnesses[0].state


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_each_new_head_is_shown_once_and_its_signatures_go_to_the_ledger(world: World) -> None:
    assert world.show() == "ok"
    assert world.show() == "ok"
    world.ledger.size = 150
    assert world.show() == "ok"
    assert world.posts == 2
    assert [(size, len(lines)) for size, lines in world.ledger.added] == [(100, 2), (150, 2)]
    assert world.events.codes == [""]


def test_a_steward_that_knows_nothing_learns_the_size_from_the_witness(world: World) -> None:
    world.show()
    (world.directory / subject.STATE_FILE).unlink()
    world.ledger.size = 150
    world.start()
    assert world.show() == "ok"
    assert world.posts == 3


def test_another_history_is_told_once_and_remembered(world: World) -> None:
    """A3: of the same size, longer, and shorter than what the witness has signed."""
    world.show()
    forked = SmallLog("another entry", shared=50)
    for log, size in ((forked, 100), (forked, 150), (LOG, 60)):
        world.ledger.log, world.ledger.size = log, size
        world.task._states[PEER.name] = type(world.task._states[PEER.name])(PEER.name, PEER.url)
        assert world.show() == "conflict", (size, log)
    assert world.events.codes.count("witness.conflict") == 3
    world.show()
    assert world.events.codes.count("witness.conflict") == 3
    world.start()
    status = asyncio.run(world.task.status(cast("Any", None), cast("Any", None)))
    assert status.witnesses[0].state == "conflict"
    assert [size for size, _ in world.ledger.added] == [100]


def test_a_conflict_is_not_covered_by_silence_and_ends_when_it_signs_again(world: World) -> None:
    world.show()
    world.ledger.size = 60
    assert world.show() == "conflict"
    world.ledger.size = 150
    world.change = _away
    world.clock.seconds += 10_000
    assert world.show() == "conflict"
    world.change = lambda answer: answer
    assert world.show() == "ok"


def test_a_ledger_that_was_begun_anew_is_another_log_that_the_witness_can_be_told_of(world: World) -> None:
    """A log of another name has no size that the witness has seen, so it is no conflict."""
    world.show()
    begun_anew = "mail.example/ledger/2"
    world.ledger = Ledger(NamedLog("after the loss", begun_anew), 30)
    world.start()
    assert world.show() == "refused"  # 404: it is not asked with the size of the other log
    keys = (verifier_key(begun_anew, PUBLIC), verifier_key(begun_anew, POST_QUANTUM_PUBLIC, MLDSA44))
    WitnessDirectory(world.directory / "w").add_log(KnownLog(begun_anew, keys))
    assert world.show() == "ok"
    world.ledger.size = 60
    world.start()
    assert world.show() == "ok"
    assert world.events.codes == ["", "witness.refused", ""]


class NamedLog(SmallLog):
    """A small log of another name."""

    def __init__(self, word: str, origin: str) -> None:
        super().__init__(word)
        self.origin = origin

    def note(self, size: int, origin: str = "") -> bytes:
        return super().note(size, origin or self.origin)


def _away(_answer: Answer) -> Answer:
    raise UnavailableError("nobody there")


def test_silence_is_told_after_ten_minutes(world: World) -> None:
    world.change = _away
    assert world.show() == "waiting"
    world.clock.seconds += subject.SILENT_SECONDS + 1
    assert world.show() == "silent"
    assert world.events.codes == ["witness.silent"]


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_witness_that_does_not_know_us_is_told(world: World, status: int) -> None:
    world.change = lambda _answer: Answer(status, "text/plain", b"no")
    assert world.show() == "refused"


@pytest.mark.parametrize("status", [500, 503, 301])
def test_a_witness_in_trouble_is_one_that_is_away(world: World, status: int) -> None:
    world.change = lambda _answer: Answer(status, "text/plain", b"no")
    assert world.show() == "waiting"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"rubbish\n",
        "\u2014 witness.example/w1 AAAA\n".encode(),
        "\u2014 other.example AAAAAAAA\n".encode(),
    ],
)
def test_signatures_that_are_not_the_witnesss_own_are_not_passed_on(world: World, body: bytes) -> None:
    world.change = lambda _answer: Answer(200, "text/plain", body)
    assert world.show() == "bad"
    assert world.ledger.added == []


def test_one_of_two_keys_is_not_enough(world: World) -> None:
    world.change = lambda answer: answer._replace(body=answer.body.splitlines(keepends=True)[0])
    assert world.show() == "bad"


def test_a_size_that_never_stands_still_does_not_go_on_for_ever(world: World) -> None:
    world.change = lambda _answer: Answer(409, "text/x.tlog.size", b"%d\n" % (world.posts % 90))
    assert world.show() == "waiting"
    assert world.posts == 2


def test_a_witness_is_configured_with_its_own_keys(world: World) -> None:
    own = cosigner().verifier_keys()
    for keys in (
        (),
        (own[0], verifier_key("other.example", b"\x09" * 32, 4)),
        (verifier_key(ORIGIN, b"\x09" * 32),),
    ):
        with pytest.raises(InvalidInputError):
            peer_of("http://witness.example/", keys)
    for url in ("ftp://w/", "http://", "http://u:p@w/", "http://w/?q", "w.example", "http://w:99999/"):
        with pytest.raises(InvalidInputError):
            parse_url(url)
    assert parse_url("https://w.example/sub/") == (True, "w.example", 443, "/sub/add-checkpoint")
