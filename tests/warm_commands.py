"""The command line, forked for each command from a process that has imported it already.

A command spends most of its time importing, and the end-to-end tests run many hundreds. What runs is the
program's own `main`, in a process, with the arguments, environment, directory and streams of its own.
"""

import atexit
import functools
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

_REQUEST_BYTES_MAX = 1 << 20
_PID = struct.Struct("i")


class WarmCommands:
    """Asks the process that forks."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen([sys.executable, __file__, str(number)], pass_fds=[number])
        atexit.register(self.close)

    def close(self) -> None:
        """End the process."""
        self._link.close()
        self._process.wait()

    def run(
        self, arguments: Sequence[str], *, stdin: str, env: dict[str, str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as `subprocess.run` would."""
        pipes = [os.pipe() for _ in range(4)]
        (in_read, in_write), (out_read, out_write), (err_read, err_write), (end_read, end_write) = pipes
        request = json.dumps([list(arguments), env, str(Path.cwd())]).encode()
        given = [in_read, out_write, err_write, end_write]
        socket.send_fds(self._link, [request], given)
        for descriptor in given:
            os.close(descriptor)
        answers: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=_read, args=(descriptor, answers)) for descriptor in (out_read, err_read)
        ]
        threads.append(threading.Thread(target=_write, args=(in_write, stdin.encode())))
        for thread in threads:
            thread.start()
        with os.fdopen(end_read, "rb") as end:
            (pid,) = _PID.unpack(end.read(_PID.size))
            watch = threading.Timer(timeout, os.kill, [pid, signal.SIGKILL])
            watch.start()
            (status,) = _PID.unpack(end.read(_PID.size))
            watch.cancel()
        for thread in threads:
            thread.join()
        code = os.waitstatus_to_exitcode(status)
        stdout, stderr = answers[out_read].decode(), answers[err_read].decode()
        if code == -signal.SIGKILL:
            raise subprocess.TimeoutExpired(list(arguments), timeout, stdout, stderr)
        return subprocess.CompletedProcess(list(arguments), code, stdout, stderr)


@functools.cache
def warm_commands() -> WarmCommands:
    """Return this test process's own."""
    return WarmCommands()


def _read(descriptor: int, answers: dict[int, bytes]) -> None:
    with os.fdopen(descriptor, "rb") as stream:
        answers[descriptor] = stream.read()


def _write(descriptor: int, content: bytes) -> None:
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    except BrokenPipeError:
        pass  # it did not want to read this


# --- The process that forks ---


def _serve(link: socket.socket) -> None:
    _import_all()
    while True:
        request, given, _, _ = socket.recv_fds(link, _REQUEST_BYTES_MAX, 4)
        if not request:
            return
        if os.fork() == 0:
            link.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(request, given)
        for descriptor in given:
            os.close(descriptor)


def _import_all() -> None:
    """Do what the program does before it knows the command, and import what any command may use."""
    from postkeep.node import wiring
    from postkeep.node.cli import main
    from postkeep.node.cli.app import COMMANDS

    sys.argv = ["postkeep", "version", "--json"]
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        try:
            main()
        except SystemExit:
            sys.stdout = sys.__stdout__
    names = [f"postkeep.node.cli.{module}" for module in (*COMMANDS, "operator")]
    names += [found.name for found in pkgutil.iter_modules(wiring.__path__, wiring.__name__ + ".")]
    for name in (*names, "postkeep.node.start", "postkeep.node.doctor", "rich.console", "rich.table"):
        importlib.import_module(name)


def _watch(request: bytes, given: list[int]) -> None:
    """Run the command in a child, and tell its number and its end; in a process between, to wait for it."""
    *streams, end = given
    pid = os.fork()
    if pid == 0:
        os.close(end)
        _run(request, streams)
    for descriptor in streams:
        os.close(descriptor)
    os.write(end, _PID.pack(pid))
    os.write(end, _PID.pack(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _run(request: bytes, streams: list[int]) -> None:
    arguments, env, directory = json.loads(request)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(directory)
    sys.argv = ["postkeep", *arguments]
    code: object = 1
    try:
        from postkeep.node.cli import main

        main()
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        _serve(inherited)
