"""The ledger's heads are shown to witnesses elsewhere, and their signatures are put under them.

Each new head goes to each witness within seconds, with the proof that it extends the head the witness knows.
What a witness says is checked here against its keys. A witness that has seen another history, whose signature
is not its own or that stays silent is an alarm: an event in the ledger, a line in the log, a metric, a state
that `witness status` and `doctor` show. The state survives a restart; a conflict stays until it signs again.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import IntegrityError, InvalidInputError, PostkeepError, UnavailableError
from postkeep.base.files import write_file
from postkeep.crypto.note import ED25519, Checkpoint, add_lines, parse_checkpoint, peek_note
from postkeep.crypto.verifier_key import VerifierKey, parse_verifier_key
from postkeep.model.audit import EventName
from postkeep.services.ledger.api import AddCosignatures, Consistency
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.steward import metrics
from postkeep.services.steward.control import Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.witness_http import Answer, parse_url
from postkeep.services.steward.witnesses_api import WitnessState, WitnessStates, WitnessStatus
from postkeep.services.witness.submission import format_submission

STATE_FILE: Final = "witnesses.json"
"""Below the steward's own directory; `doctor` reads it."""
EVERY_SECONDS: Final = 5.0  # between looks at the ledger's head: a fork is an alarm within a minute
SILENT_SECONDS: Final = 600.0  # a witness whose last signature is older does not answer: a restart is shorter
ANSWER_LINES_MAX: Final = 16  # signature lines of one witness: it has a key or two

_log = structlog.get_logger(__name__)


class Tickets(Protocol):
    """Gives the ticket that this work is done with."""

    async def get(self) -> bytes:
        """Return a ticket in force."""


class Sender(Protocol):
    """Posts to a witness."""

    async def post(self, url: str, body: bytes) -> Answer:
        """Return what it answers; UnavailableError where it does not."""


class WitnessPeer(msgspec.Struct, frozen=True):
    """A witness, as it is configured."""

    url: str
    keys: tuple[VerifierKey, ...]

    @property
    def name(self) -> str:
        """The name that it signs with."""
        return self.keys[0].name


def peer_of(url: str, keys: Sequence[str]) -> WitnessPeer:
    """Read a witness from its configuration; raises InvalidInputError."""
    parse_url(url)
    parsed = tuple(parse_verifier_key(key) for key in keys)
    if len({key.name for key in parsed}) != 1 or any(key.kind == ED25519 for key in parsed):
        raise InvalidInputError(
            public_text=f"The witness at {url} needs its own keys, as `postkeep witness key` prints them."
        )
    return WitnessPeer(url, parsed)


class Witnesses:
    """Shows heads to witnesses, and answers `witness_status`."""

    def __init__(
        self,
        peers: Sequence[WitnessPeer],
        *,
        ledger: LedgerClient,
        tickets: Tickets,
        sender: Sender,
        trail: Trail,
        clock: Clock,
        directory: Path,
    ) -> None:
        self._peers = peers
        self._ledger = ledger
        self._tickets = tickets
        self._sender = sender
        self._trail = trail
        self._clock = clock
        self._file = directory / STATE_FILE
        known = {state.name: state for state in _load(self._file)}
        self._states = {
            peer.name: known.get(peer.name, WitnessState(peer.name, peer.url, signed_ms=0)) for peer in peers
        }
        self._sizes = {name: state.size for name, state in self._states.items()}
        self._begun_ms = clock.now_ms()

    def methods(self) -> Methods:
        """Return the methods."""
        return {"witness_status": (WitnessStatus, self.status)}

    async def status(self, _operator: Operator, _request: WitnessStatus) -> WitnessStates:
        """Say what the witnesses have said last."""
        return WitnessStates(list(self._states.values()))

    async def run(self) -> None:
        """Go to all witnesses again and again, to each by itself, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for peer in self._peers:
                group.create_task(self._follow(peer), name=f"witness {peer.name}")

    async def _follow(self, peer: WitnessPeer) -> None:
        while True:
            try:
                await self.show(peer)
            except PostkeepError as error:  # the ledger or the authority is away: the next look comes soon
                _log.info("witness_postponed", witness=peer.name, code=error.code, detail=error.detail)
            except OSError as error:
                _log.error("witness_state_unwritten", witness=peer.name, reason=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def show(self, peer: WitnessPeer) -> None:
        """Have a witness sign the newest head, if it has not; remember what it says."""
        note = (await self._ledger.checkpoint(ticket=await self._tickets.get())).note
        if not note:
            return
        head = parse_checkpoint(peek_note(note))
        state = self._states[peer.name]
        if state.origin not in {"", head.origin}:  # another log, of which the witness has signed nothing
            self._sizes[peer.name] = 0
        elif state.state == "ok" and state.size == head.size:
            return
        try:
            lines = await self._submit(peer, note, head)
        except UnavailableError as error:
            self._note_silence(peer, error.detail)
            return
        except InvalidInputError as error:
            self._change(peer, "refused", error.detail)
            return
        except IntegrityError as error:
            self._change(peer, error.code if error.code == "conflict" else "bad", error.detail)
            return
        await self._ledger.add_cosignatures(
            AddCosignatures(head.size, lines), ticket=await self._tickets.get()
        )
        self._change(peer, "ok", head=head)

    async def _submit(self, peer: WitnessPeer, note: bytes, head: Checkpoint) -> list[str]:
        """Return the lines that a witness has put under a head.

        Raises UnavailableError where it does not answer, InvalidInputError where it knows neither log nor
        key, IntegrityError with the code `conflict` where it knows another history, and IntegrityError for
        signatures that are not its own.
        """
        for _ in range(2):  # the second time from the size that it has named
            old = self._sizes[peer.name]
            if old > head.size:
                raise _conflict(f"it has seen {old} entries, the ledger has {head.size}")
            proof: list[bytes] = []
            if 0 < old < head.size:
                told = await self._ledger.consistency(
                    Consistency(old, head.size), ticket=await self._tickets.get()
                )
                proof = told.hashes
            answer = await self._sender.post(peer.url, format_submission(old, proof, note))
            size = _named_size(answer)
            if size is None:
                return _judge(peer, note, head, answer)
            self._sizes[peer.name] = size
        raise UnavailableError("its size does not stand still: another sender is at work")

    def _note_silence(self, peer: WitnessPeer, detail: str) -> None:
        state = self._states[peer.name]
        _log.info("witness_silent", witness=peer.name, detail=detail)
        since = max(state.signed_ms, self._begun_ms)
        if state.state != "conflict" and self._clock.now_ms() - since > SILENT_SECONDS * 1000:
            self._change(peer, "silent", detail)

    def _change(
        self, peer: WitnessPeer, word: str, detail: str = "", *, head: Checkpoint | None = None
    ) -> None:
        """Remember what a witness said; tell of it where that is news."""
        before = self._states[peer.name]
        if head is not None:
            self._sizes[peer.name] = head.size
            now_ms = self._clock.now_ms()
            now = WitnessState(peer.name, peer.url, word, head.size, now_ms, origin=head.origin)
        else:
            now = msgspec.structs.replace(before, url=peer.url, state=word, detail=detail)
        self._states[peer.name] = now
        metrics.WITNESS_SIZE.labels(peer.name).set(now.size)
        metrics.WITNESS_SOUND.labels(peer.name).set(word == "ok")
        if word != before.state:
            _save(self._file, list(self._states.values()))
            self._tell(peer, word, detail, now.size)
        elif word == "ok":
            _save(self._file, list(self._states.values()))

    def _tell(self, peer: WitnessPeer, word: str, detail: str, size: int) -> None:
        log = {"ok": _log.info, "conflict": _log.critical}.get(word, _log.error)
        log("witness_state", witness=peer.name, state=word, detail=detail, size=size)
        refused = word != "ok"
        self._trail.note(
            EventName.WITNESS,
            outcome="refused" if refused else "ok",
            code=f"witness.{word}" if refused else "",
            count=size,
            note=peer.name,
        )


def _conflict(detail: str) -> IntegrityError:
    return IntegrityError(detail, code="conflict")


def _named_size(answer: Answer) -> int | None:
    """Return the size that a witness names as the one it knows; None where its answer is another."""
    digits = answer.body.removesuffix(b"\n")
    if answer.status != 409 or answer.content_type != "text/x.tlog.size" or len(digits) > 19:  # noqa: PLR2004
        return None
    return int(digits) if digits.isdigit() else None


def _judge(peer: WitnessPeer, note: bytes, head: Checkpoint, answer: Answer) -> list[str]:
    """Return the lines of an answer that are signed by this witness; raise as `_submit` says."""
    said = answer.body[:200].decode("utf-8", "replace").strip()
    if answer.status in (409, 422):
        raise _conflict(f"it answers {answer.status}: {said}")
    if answer.status in (400, 403, 404):
        raise InvalidInputError(f"it answers {answer.status}: {said}")
    if answer.status != 200:  # noqa: PLR2004
        raise UnavailableError(f"it answers {answer.status}: {said}")
    lines = answer.body.splitlines(keepends=True)[:ANSWER_LINES_MAX]
    own = [line for line in lines if line.startswith(f"\u2014 {peer.name} ".encode())]
    cosigned = add_lines(note, own)
    for key in peer.keys:
        key.check(cosigned, head)
    return [line.decode() for line in own]


def _load(path: Path) -> list[WitnessState]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[WitnessState])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def _save(path: Path, states: list[WitnessState]) -> None:
    write_file(path, msgspec.json.encode(states))
