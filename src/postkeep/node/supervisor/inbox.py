"""Signals as data: they arrive on a socket, so that the loop handles them between other things."""

import selectors
import signal
import socket
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WANTED: Final = (*STOPPING, signal.SIGCHLD)


class Inbox:
    """Collects the signals that the supervisor acts on."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._arrived: list[int] = []
        signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in _WANTED:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
                signal.signal(number, _noted)
        selector.register(self._reading, selectors.EVENT_READ, self._read)

    def signals(self) -> list[int]:
        """Return those that have arrived since the last call."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def _read(self, _now: float) -> None:
        try:
            self._arrived += self._reading.recv(4096)
        except BlockingIOError:
            return


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number has been written to the socket."""
