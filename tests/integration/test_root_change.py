"""K10: the seal of the root key can be changed; no crash leaves nothing, or two, that open it."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from postkeep.base.errors import InvalidInputError, PostkeepError, RefusedError
from postkeep.base.secret import Secret
from postkeep.crypto import shares
from postkeep.crypto.shares import Roster
from postkeep.node.supervisor.root_secret import HeldRootSecret
from postkeep.services.kms.root_change import Hold, RootCustody, RootSeals, settle
from postkeep.services.kms.root_kinds import FILE_NAMES, RootKind, find_sealed, kind_of

ROOT = Secret(b"\x07" * 32)
NAMES = ("Ann", "Bob", "Cid")


class Supervisor:
    """What the supervisor would hold, kept in a file so that it outlives the process that tells it."""

    def __init__(self, directory: Path, first: bytes) -> None:
        self.path = directory / "held"
        self.path.write_text(first.hex() + "\n")

    def hold(self, step: Literal["add", "settle", "drop"], value: bytes) -> None:
        held = self.path.read_text().split("\n")[:-1]
        held = {"add": [value.hex(), held[-1]], "settle": held[:1], "drop": held[-1:]}[step]
        self.path.write_text("".join(f"{line}\n" for line in held))

    def held(self) -> tuple[Secret[bytes], ...]:
        return tuple(Secret(bytes.fromhex(line)) for line in self.path.read_text().split("\n")[:-1])


def ceremony() -> tuple[bytes, Roster]:
    secret = os.urandom(32)
    return secret, shares.roster_of(shares.split(secret, 2, 3), NAMES)


def opened(directory: Path, secret: bytes) -> bytes:
    return RootSeals(directory).current(Secret(secret)).open().reveal()


def custody(directory: Path, secret: bytes, hold: Hold) -> RootCustody:
    return RootCustody(RootSeals(directory), ROOT, Secret(secret), hold)


def nobody(_step: str, _value: bytes) -> None:
    return


def test_the_new_seal_opens_and_the_old_one_is_gone(tmp_path: Path) -> None:
    seals = RootSeals(tmp_path)
    seals.of(RootKind.FILE, Secret(b"")).seal(ROOT)
    secret, roster = ceremony()
    keys = custody(tmp_path, b"", nobody)
    assert asyncio.run(keys.reseal(RootKind.SHARES, Secret(secret), roster)) is RootKind.FILE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root.shares"]
    assert ROOT.reveal() not in (tmp_path / "root.shares").read_bytes()
    assert opened(tmp_path, secret) == ROOT.reveal()
    again, other = ceremony()
    assert asyncio.run(keys.reseal(RootKind.SHARES, Secret(again), other)) is RootKind.SHARES
    with pytest.raises(RefusedError) as caught:
        opened(tmp_path, secret)
    assert caught.value.code == "wrong_shares"
    assert asyncio.run(keys.reseal(RootKind.PASSPHRASE, Secret(b"a new passphrase"))) is RootKind.SHARES
    assert opened(tmp_path, b"a new passphrase") == ROOT.reveal()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root.sealed"]


def test_another_root_key_is_sealed_as_the_one_before(tmp_path: Path) -> None:
    secret, roster = ceremony()
    RootSeals(tmp_path).of(RootKind.SHARES, Secret(secret), roster=roster).seal(ROOT)
    asyncio.run(custody(tmp_path, secret, nobody).replace(Secret(b"\x08" * 32)))
    assert opened(tmp_path, secret) == b"\x08" * 32


def test_a_roster_with_a_changed_name_does_not_open(tmp_path: Path) -> None:
    secret, roster = ceremony()
    RootSeals(tmp_path).of(RootKind.SHARES, Secret(secret), roster=roster).seal(ROOT)
    path = tmp_path / FILE_NAMES[RootKind.SHARES]
    path.write_bytes(path.read_bytes().replace(b"Bob", b"Rob"))
    with pytest.raises(RefusedError):
        opened(tmp_path, secret)


def test_what_fails_leaves_the_old_seal(tmp_path: Path) -> None:
    seals, supervisor = RootSeals(tmp_path), Supervisor(tmp_path, b"")
    seals.of(RootKind.FILE, Secret(b"")).seal(ROOT)
    with pytest.raises(InvalidInputError):  # no roster
        asyncio.run(custody(tmp_path, b"", supervisor.hold).reseal(RootKind.SHARES, Secret(b"s" * 32)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held", "root.key"]
    assert [secret.reveal() for secret in supervisor.held()] == [b""]
    assert opened(tmp_path, b"") == ROOT.reveal()


def reseal_now(keys: RootCustody, kind: RootKind, secret: bytes, roster: Roster | None) -> None:
    asyncio.run(keys.reseal(kind, Secret(secret), roster))


def in_a_process_that_dies_at_sync(number: int, work: Callable[[], object]) -> bool:
    """Run `work` in a fork that dies at its sync of this number; whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        real, count = os.fsync, 0

        def counted(descriptor: int) -> None:
            nonlocal count
            if count == number:
                os._exit(9)
            count += 1
            real(descriptor)

        os.fsync = counted  # type: ignore[assignment] # in this fork only
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("old", [RootKind.FILE, RootKind.SHARES])
@pytest.mark.parametrize("new", [RootKind.FILE, RootKind.SHARES])
def test_a_crash_at_any_point_leaves_exactly_one_seal_that_opens(
    tmp_path: Path, old: RootKind, new: RootKind
) -> None:
    done, number, ends = False, 0, set()
    while not done:
        directory = tmp_path / str(number)
        directory.mkdir()
        secrets: dict[str, tuple[bytes, Roster | None]] = {}
        for side, kind in (("old", old), ("new", new)):
            secrets[side] = ceremony() if kind is RootKind.SHARES else (b"", None)
        old_secret, old_roster = secrets["old"]
        new_secret, new_roster = secrets["new"]
        RootSeals(directory).of(old, Secret(old_secret), roster=old_roster).seal(ROOT)
        supervisor = Supervisor(directory, old_secret)
        keys = custody(directory, old_secret, supervisor.hold)
        done = in_a_process_that_dies_at_sync(number, partial(reseal_now, keys, new, new_secret, new_roster))
        # kms is started again by the supervisor, with what it holds
        seals = RootSeals(directory)
        secret = seals.secret_that_counts(supervisor.held())
        assert seals.current(secret).open().reveal() == ROOT.reveal(), number
        # or the whole node, with what a person gives for the way that counts
        sealed = find_sealed(directory)
        assert sealed is not None
        settle(directory, supervisor.hold)
        given = new_secret if secret.reveal() == new_secret else old_secret
        assert [item.reveal() for item in supervisor.held()] == [given]
        assert opened(directory, given) == ROOT.reveal()
        left = {path.name for path in directory.iterdir()} - {"held", "root.change.new"}
        assert left == {FILE_NAMES[sealed.kind]}, number
        other = old_secret if given == new_secret else new_secret
        if given != other and sealed.kind is not RootKind.FILE:
            with pytest.raises(PostkeepError):
                opened(directory, other)
        ends.add(given == new_secret)
        number += 1
    assert number > 8
    assert old is new is RootKind.FILE or ends == {False, True}


def test_the_configuration_must_not_contradict_what_is_there(tmp_path: Path) -> None:
    RootSeals(tmp_path).of(RootKind.FILE, Secret(b"")).seal(ROOT)
    assert kind_of("", tmp_path) is RootKind.FILE
    with pytest.raises(InvalidInputError) as caught:
        kind_of("shares", tmp_path)
    assert "take it out" in caught.value.public_text
    with pytest.raises(InvalidInputError):
        RootSeals(tmp_path, configured="file").check_target(RootKind.SHARES)
    (tmp_path / "root.sealed").write_bytes(b"x")
    with pytest.raises(InvalidInputError) as two:
        find_sealed(tmp_path)
    assert "root.key" in two.value.public_text


def test_the_supervisor_holds_at_most_two_and_the_newest_alone_after_all() -> None:
    class Kms:
        def __init__(self) -> None:
            self.frames: list[object] = []

        def send(self, frame: object) -> None:
            self.frames.append(frame)

    given = bytearray(b"the old one")
    held, kms = HeldRootSecret(given), Kms()
    assert given == bytearray(11)
    for step, value in (("add", b"newer"), ("drop", b""), ("add", b"newest"), ("settle", b"")):
        held.take(step, value)
        held.give(kms)  # type: ignore[arg-type] # only its `send` is used
    values = [frame.values for frame in kms.frames]  # type: ignore[attr-defined] # frames.RootSecrets
    assert values == [[b"newer", b"the old one"], [b"the old one"], [b"newest", b"the old one"], [b"newest"]]
