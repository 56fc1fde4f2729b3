"""Answers `add-checkpoint` (C2SP tlog-witness). Whatever comes in at once: a head is compared with the last
one signed, stored durably and only then signed, one submission after the other for each log.
"""

import hmac
import threading
from collections import defaultdict
from typing import Final

import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import (
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.crypto.merkle import EMPTY_ROOT, verify_consistency
from postkeep.crypto.note import Checkpoint, parse_checkpoint, peek_note
from postkeep.crypto.verifier_key import parse_verifier_key
from postkeep.services.witness.cosigner import Cosigner
from postkeep.services.witness.submission import Submission, parse_submission
from postkeep.stores.witness_logs import KnownLog, WitnessDirectory

EMPTY: Final = Checkpoint("", 0, EMPTY_ROOT)
"""The head that every log begins with."""

_log = structlog.get_logger(__name__)


class StaleError(PostkeepError):
    """The submission starts from another size than that of the last head signed, which is `size`."""

    code = "stale"
    public_text = "The log has another size here."

    def __init__(self, size: int) -> None:
        super().__init__(f"the last head signed has {size} entries")
        self.size = size


class ForkError(PostkeepError):
    """A head of the same size as the last one signed has another root: the log has two histories."""

    code = "fork"
    public_text = "Another head of this size was signed."


class Witness:
    """One witness, with all its logs. Its methods wait for the disk: call them from threads."""

    def __init__(self, directory: WitnessDirectory, cosigner: Cosigner, clock: Clock) -> None:
        self._directory = directory
        self._cosigner = cosigner
        self._clock = clock
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def add_checkpoint(self, body: bytes) -> bytes:
        """Return the cosignature lines for a submission.

        Raises InvalidInputError or LimitError for what is none, NotFoundError for an unknown log,
        RefusedError for a bad signature, StaleError, ForkError, IntegrityError for a proof that proves
        nothing, UnavailableError where the disk takes no more.
        """
        submission = parse_submission(body)
        origin = submission.checkpoint.origin
        known = self._directory.log(origin)
        if known is None:
            raise NotFoundError("an unknown log")
        _check_signatures(known, submission)
        if submission.old > submission.checkpoint.size:
            raise InvalidInputError("the old size is above the new one")
        with self._locks[origin]:  # from the comparison until the head is durable: nothing comes between
            self._accept(origin, submission)
            now = self._clock.now_seconds()
            return self._cosigner.sign(peek_note(submission.note), submission.checkpoint, now)

    def _accept(self, origin: str, submission: Submission) -> None:
        last, new = self._last(origin), submission.checkpoint
        forked = new.size == last.size and not hmac.compare_digest(new.root, last.root)
        if forked:
            self._directory.keep_fork(origin, submission.note)
            _log.critical("fork_seen", origin=origin, size=new.size, root=new.root.hex())
        if submission.old != last.size:
            raise StaleError(last.size)
        if forked:
            raise ForkError(f"{origin} has two heads of {new.size} entries")
        verify_consistency(last.size, last.root, new.size, new.root, submission.proof)
        if new != last:
            self._directory.set_head(origin, submission.note)
            _log.info("head_cosigned", origin=origin, size=new.size, before=last.size)

    def _last(self, origin: str) -> Checkpoint:
        try:
            note = self._directory.head(origin)
            return parse_checkpoint(peek_note(note)) if note else EMPTY
        except (IntegrityError, OSError) as error:  # our own memory: nothing is signed without it
            _log.critical("own_head_unreadable", origin=origin, reason=str(error))
            raise UnavailableError(f"the last head of {origin} can not be read") from error


def _check_signatures(known: KnownLog, submission: Submission) -> None:
    """Raise RefusedError unless all keys of the log have signed the head."""
    try:
        for text in known.keys:
            parse_verifier_key(text).check(submission.note, submission.checkpoint)
    except IntegrityError as error:
        raise RefusedError(error.detail, code="refused.signature") from error
