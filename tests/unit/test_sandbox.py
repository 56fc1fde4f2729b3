"""A confined process really can't do what it has given up."""

import ctypes
import os
import platform
import socket
import struct
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from postkeep.node.config import Config, LedgerConfig, WitnessConfig
from postkeep.node.sandbox import landlock, namespace, seccomp
from postkeep.node.sandbox.libc import PR_SET_NO_NEW_PRIVS, prctl, sync_file_system
from postkeep.node.sandbox.process import (
    Confinement,
    close_inherited,
    confine,
    interpreter_directories,
    open_descriptors,
)
from postkeep.node.supervisor.plan import MODULES
from postkeep.node.supervisor.spawn import connects


def _in_child(work: Callable[[], bool]) -> bool:
    """Do something irreversible in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 3)
        except BaseException:  # noqa: BLE001 - it must not run the test's own code further
            traceback.print_exc()
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except OSError:
        return True
    return False


needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")


@needs_landlock
def test_landlock_leaves_only_the_paths_that_are_named(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    (other / "secret").write_text("x")

    def work() -> bool:
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        landlock.restrict([(mine, landlock.READ_WRITE)], connects=None)
        (mine / "file").write_text("x")
        (mine / "file").rename(mine / "renamed")
        return _refused((other / "secret").read_text) and _refused((other / "new").touch)

    assert _in_child(work)


@needs_landlock
@pytest.mark.skipif(landlock.version() < 4, reason="Landlock limits TCP from version 4 on")
def test_a_keeper_can_neither_connect_nor_bind() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()

    def work() -> bool:
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        landlock.restrict([], connects=())
        fresh = socket.socket()
        return _refused(lambda: socket.socket().connect(address)) and _refused(
            lambda: fresh.bind(("127.0.0.1", 45_678))
        )

    assert _in_child(work)
    listener.close()


@needs_landlock
@pytest.mark.skipif(landlock.version() < 4, reason="Landlock limits TCP from version 4 on")
def test_who_may_connect_to_some_ports_connects_to_no_other() -> None:
    """A3: the steward, which talks to witnesses on the network, reaches nothing else there."""
    witness, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))

    def work() -> bool:
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        landlock.restrict([], connects=(witness.getsockname()[1],))
        socket.socket().connect(witness.getsockname())
        return _refused(lambda: socket.socket().connect(other.getsockname()))

    assert _in_child(work)
    witness.close()
    other.close()


def test_the_steward_may_connect_to_the_ports_of_its_witnesses_and_without_any_to_none() -> None:
    steward = next(module for module in MODULES if module.name == "steward")
    urls = (
        "https://w.example/w1/",
        "http://10.0.0.1:2600",
        "http://10.0.0.2:2600/",
        "no url",
        "http://x:99999",
    )
    witnesses = tuple(WitnessConfig(url, ()) for url in urls)
    assert connects(steward, Config()) == ()
    assert connects(steward, Config(ledger=LedgerConfig(witnesses=witnesses))) == (443, 2600)
    for module in MODULES:
        assert connects(module, Config()) == (None if module.name == "relay" else ())


@pytest.mark.skipif(seccomp.program(platform.machine()) is None, reason="no table for this machine")
def test_the_filter_refuses_programs_and_tracing_and_lets_ordinary_calls_pass() -> None:
    def work() -> bool:
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        assert seccomp.install()
        Path("/proc/self/status").read_text()
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        return _refused(lambda: os.execv("/bin/true", ["true"])) and ptrace(0, 0, 0, 0) == -1

    assert _in_child(work)


def test_the_filter_is_a_valid_program_with_every_jump_inside() -> None:
    for machine in ("x86_64", "aarch64"):
        code = seccomp.program(machine)
        assert code is not None
        steps = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
        assert len(steps) < 256
        for position, (_, yes, no, _) in enumerate(steps):
            assert position + 1 + max(yes, no) <= len(steps)
    assert seccomp.program("vax") is None


@needs_root
def test_a_confined_process_is_nobody_and_can_not_go_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    interpreter_directories()
    parent = os.getpid()

    def work() -> bool:
        wanted = Confinement(64_699, 64_699, (), (state,), (), None, connects=())
        confine(wanted, parent)
        return (
            os.getresuid() == (64_699, 64_699, 64_699)
            and os.getgroups() == []
            and _refused(lambda: os.setuid(0))
            and _refused(lambda: Path("/etc/shadow").read_text())
            and Path("/proc/self/mem").stat().st_uid == 0  # not dumpable: nobody of the same user may look in
        )

    assert _in_child(work)


def test_descriptors_of_the_parent_are_closed_and_new_ones_stay() -> None:
    secret, kept = os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)
    parents = open_descriptors()

    def work() -> bool:
        renewed, own = os.pipe()
        close_inherited(parents, [kept])
        os.fstat(kept)
        os.fstat(renewed)
        os.fstat(own)
        return _refused(lambda: os.fstat(secret))

    assert _in_child(work)
    os.close(secret)
    os.close(kept)


@needs_root
def test_a_closed_directory_lets_the_modules_pass_and_hides_the_rest(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    data = closed / "deep" / "data"
    data.mkdir(parents=True)
    (data / "here").write_text("x")
    data.chmod(0o711)
    (closed / "private").write_text("x")
    closed.chmod(0o700)
    tmp_path.chmod(0o755)

    def work() -> bool:
        try:
            assert namespace.open_the_way([data])
        except namespace.UnreachableError:
            return True  # no mount namespaces here: said clearly, nothing done
        os.setresuid(64_698, 64_698, 64_698)
        return data.stat().st_mode & 0o777 == 0o711 and not (closed / "private").exists()

    assert _in_child(work)
    assert (closed / "private").read_text() == "x"
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_file_system_that_could_not_be_synced_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x")
        sync_file_system(file.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(-1)
