"""What a witness signs and what it does not (C2SP tlog-witness), A3 and A4."""

import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.witness_log import KEYS, ORIGIN, SmallLog, cosigner, make_directory, make_witness

from postkeep.base.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.secret import Secret
from postkeep.crypto.note import add_lines, parse_checkpoint, peek_note
from postkeep.crypto.passphrase import Cost
from postkeep.crypto.verifier_key import parse_verifier_key
from postkeep.services.witness.sealing import draw, open_cosigner
from postkeep.services.witness.service import ForkError, StaleError, Witness
from postkeep.services.witness.submission import format_submission, parse_submission
from postkeep.stores.witness_logs import KeptWitness, KnownLog, WitnessDirectory

LOG = SmallLog()


@pytest.fixture
def directory(tmp_path: Path) -> WitnessDirectory:
    return make_directory(tmp_path / "w")


@pytest.fixture
def witness(directory: WitnessDirectory) -> Witness:
    return make_witness(directory)


def size_of(directory: WitnessDirectory) -> int:
    note = directory.head(ORIGIN)
    return parse_checkpoint(peek_note(note)).size if note else 0


def check(note: bytes, lines: bytes) -> None:
    cosigned = add_lines(note, lines.splitlines(keepends=True))
    for key in cosigner().verifier_keys():
        parse_verifier_key(key).check(cosigned, parse_checkpoint(peek_note(note)))


def test_heads_that_extend_each_other_are_signed_with_both_keys(
    witness: Witness, directory: WitnessDirectory
) -> None:
    old = 0
    for new in (3, 3, 64, 130, 200):
        lines = witness.add_checkpoint(LOG.submission(old, new))
        assert lines.count(b"\n") == 2
        check(LOG.note(new), lines)
        assert size_of(directory) == new
        old = new


def test_an_unknown_log_and_a_head_that_its_keys_have_not_signed_are_refused(witness: Witness) -> None:
    with pytest.raises(NotFoundError):
        witness.add_checkpoint(format_submission(0, [], LOG.note(5, "other.example/log")))
    good = LOG.submission(0, 5)
    for place in (b"mail.example/ledger/1 jWa", b"\xe2\x80\x94 mail"):
        assert place[:3] in good
    signature = good.rindex(b" ") + 40
    forged = (
        good[:signature] + (b"A" if good[signature : signature + 1] != b"A" else b"B") + good[signature + 1 :]
    )
    with pytest.raises(RefusedError):
        witness.add_checkpoint(forged)
    unsigned = good[: good.rindex("\u2014".encode())]  # the ML-DSA-44 line is gone
    with pytest.raises(RefusedError):
        witness.add_checkpoint(unsigned)


def test_an_old_size_that_is_not_the_last_one_signed_is_answered_with_it(witness: Witness) -> None:
    with pytest.raises(StaleError) as caught:
        witness.add_checkpoint(LOG.submission(3, 5))
    assert caught.value.size == 0
    witness.add_checkpoint(LOG.submission(0, 100))
    for old, new in ((0, 150), (99, 150), (50, 60)):
        with pytest.raises(StaleError) as caught:
            witness.add_checkpoint(LOG.submission(old, new))
        assert caught.value.size == 100


def test_a_proof_that_proves_nothing_is_refused(witness: Witness, directory: WitnessDirectory) -> None:
    witness.add_checkpoint(LOG.submission(0, 100))
    submission = parse_submission(LOG.submission(100, 150))
    for proof in ([], submission.proof[:-1], [*submission.proof, bytes(32)], submission.proof[::-1]):
        with pytest.raises(IntegrityError):
            witness.add_checkpoint(format_submission(100, proof, submission.note))
    other = SmallLog("another entry", shared=80)
    with pytest.raises(IntegrityError):
        witness.add_checkpoint(other.submission(100, 150))
    assert size_of(directory) == 100


def test_a_shrinking_head_is_no_submission(witness: Witness) -> None:
    witness.add_checkpoint(LOG.submission(0, 100))
    with pytest.raises(InvalidInputError):
        witness.add_checkpoint(format_submission(100, [], LOG.note(50)))


def test_a_fork_is_refused_and_its_head_kept_as_evidence(
    witness: Witness, directory: WitnessDirectory
) -> None:
    """A3."""
    witness.add_checkpoint(LOG.submission(0, 100))
    other = SmallLog("another entry", shared=80)
    with pytest.raises(ForkError):
        witness.add_checkpoint(format_submission(100, [], other.note(100)))
    with pytest.raises(StaleError):  # the protocol's answer, but the evidence is kept all the same
        witness.add_checkpoint(format_submission(7, [], SmallLog("third", shared=80).note(100)))
    assert directory.forks(ORIGIN) == 2
    assert size_of(directory) == 100
    check(LOG.note(100), witness.add_checkpoint(LOG.submission(100, 100)))


def test_two_submissions_at_once_never_roll_the_log_back(directory: WitnessDirectory) -> None:
    """A4, as the protocol tells it: the larger head is stored while the smaller one has been compared.

    The disk is slow here, so that submissions that were not kept apart would overlap for sure.
    """
    stored: list[int] = []
    meeting = threading.Barrier(2)

    class Slow(WitnessDirectory):
        def set_head(self, origin: str, note: bytes) -> None:
            size = parse_checkpoint(peek_note(note)).size
            try:  # whoever is first waits for the other one, which must not come as far as this
                meeting.wait(0.3)
            except threading.BrokenBarrierError:
                meeting.reset()
            super().set_head(origin, note)
            stored.append(size)

    witness = make_witness(Slow(directory._path))
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(witness.add_checkpoint, LOG.submission(0, size)) for size in (100, 150)]
        answers = [future.exception() for future in futures]
    assert len(stored) == 1
    assert sum(isinstance(answer, StaleError) for answer in answers) == 1
    assert size_of(directory) == stored[0]


def test_many_submissions_at_once_sign_one_history(directory: WitnessDirectory) -> None:
    """A4."""
    witness = make_witness(directory)
    signed: list[int] = []

    def submit(new: int) -> None:
        old = 0
        for _ in range(50):
            try:
                witness.add_checkpoint(LOG.submission(old, new))
            except StaleError as error:
                if error.size > new:
                    return
                old = error.size
            else:
                signed.append(new)
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit, [*range(1, 60, 2), *range(60, 0, -3)]))
    assert signed
    assert size_of(directory) == max(signed)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.witness_log import SmallLog, make_witness
from postkeep.stores.witness_logs import WitnessDirectory
class Killed(WitnessDirectory):
    def set_head(self, origin, note):
        super().set_head(origin, note)
        os.kill(os.getpid(), signal.SIGKILL)
make_witness(Killed(Path(sys.argv[1]))).add_checkpoint(SmallLog().submission(100, 150))
"""


def test_a_witness_killed_between_storing_and_answering_goes_on_from_what_it_stored(
    witness: Witness, directory: WitnessDirectory
) -> None:
    """A4: what may have been signed is never signed against."""
    witness.add_checkpoint(LOG.submission(0, 100))
    arguments = [sys.executable, "-c", KILLED, str(directory._path)]
    done = subprocess.run(arguments, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    again = make_witness(WitnessDirectory(directory._path))
    with pytest.raises(StaleError) as caught:
        again.add_checkpoint(LOG.submission(100, 120))
    assert caught.value.size == 150
    check(LOG.note(150), again.add_checkpoint(LOG.submission(150, 150)))


def test_a_head_that_can_not_be_stored_is_not_signed(
    directory: WitnessDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("postkeep.stores.witness_logs.write_file", full)
    with pytest.raises(UnavailableError):
        make_witness(directory).add_checkpoint(LOG.submission(0, 100))


def test_nothing_is_signed_when_the_last_head_can_not_be_read(
    witness: Witness, directory: WitnessDirectory
) -> None:
    witness.add_checkpoint(LOG.submission(0, 100))
    (place,) = (directory._path / "logs").glob("*/checkpoint")
    place.write_bytes(b"rubbish")
    with pytest.raises(UnavailableError):
        witness.add_checkpoint(LOG.submission(0, 100))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n",
        b"old -1\n\n",
        b"old 1" + b"0" * 30 + b"\n\n",
        b"new 0\n\n",
        b"old 0\n\nnot a note",
        b"old 0\nAAAA\n\n",
        b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\n",
    ],
)
def test_what_is_no_submission_is_refused(witness: Witness, body: bytes) -> None:
    with pytest.raises(PostkeepError) as caught:
        witness.add_checkpoint(body)
    assert caught.value.code in {"invalid", "limit"}


def test_a_witness_is_made_once_and_its_keys_are_its_own(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "w")
    with pytest.raises(ConflictError):
        directory.create(KeptWitness("x", "00" * 32, "00" * 32))
    assert stat.S_IMODE((tmp_path / "w" / "witness.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "w").stat().st_mode) == 0o700
    with pytest.raises(InvalidInputError):
        WitnessDirectory(tmp_path / "x").create(KeptWitness("a name", "00" * 32, "00" * 32))
    descriptor = directory.hold()
    with pytest.raises(ConflictError):
        WitnessDirectory(tmp_path / "w").hold()
    os.close(descriptor)


def test_a_log_that_is_added_again_keeps_its_head(witness: Witness, directory: WitnessDirectory) -> None:
    witness.add_checkpoint(LOG.submission(0, 100))
    directory.add_log(KnownLog(ORIGIN, KEYS[:1]))
    assert size_of(directory) == 100
    assert [log.keys for log in directory.logs()] == [KEYS[:1]]


CHEAP = Cost(passes=1, memory_kib=64, lanes=1)


def test_seeds_that_are_sealed_open_with_their_passphrase_and_name_alone(tmp_path: Path) -> None:
    """A3: whoever copies the witness's directory can't sign in its name."""
    directory = WitnessDirectory(tmp_path / "w")
    kept = draw("witness.example/w1", Secret(b"a passphrase of some length"), CHEAP)
    directory.create(kept)
    kept = directory.witness()
    assert (kept.ed25519_seed, kept.mldsa44_seed) == ("", "")
    opened = open_cosigner(kept, Secret(b"a passphrase of some length"))
    assert opened.verifier_keys() == kept.keys
    with pytest.raises(RefusedError, match="passphrase"):
        open_cosigner(kept, Secret(b"another passphrase of a length"))
    renamed = msgspec.structs.replace(kept, name="witness.example/w2")
    with pytest.raises(RefusedError):
        open_cosigner(renamed, Secret(b"a passphrase of some length"))
    swapped = msgspec.structs.replace(kept, keys=("witness.example/w1+00000000+AAAA",))
    with pytest.raises(IntegrityError, match="public keys"):
        open_cosigner(swapped, Secret(b"a passphrase of some length"))
    with pytest.raises(InvalidInputError, match="sealed"):
        open_cosigner(kept, None)


def test_seeds_without_a_passphrase_are_as_they_were(tmp_path: Path) -> None:
    kept = draw("witness.example/w1", None)
    assert open_cosigner(kept, None).verifier_keys() == open_cosigner(kept, None).verifier_keys()
    (tmp_path / "witness.json").write_bytes(
        b'{"name":"witness.example/w1","ed25519_seed":"%s","mldsa44_seed":"%s"}' % (b"11" * 32, b"22" * 32)
    )
    old = WitnessDirectory(tmp_path).witness()
    assert open_cosigner(old, None).verifier_keys() == cosigner().verifier_keys()
