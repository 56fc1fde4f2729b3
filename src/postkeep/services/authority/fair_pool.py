"""A pool of threads that serves everybody in turn: who sends a flood waits behind its own flood only."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from postkeep.base.errors import ThrottledError

WAITING_MAX: Final = 4096
"""Jobs waiting in all, each a password of at most a kilobyte."""

WAITING_EACH_MAX: Final = 512
"""Jobs waiting of one party: an office whose clients all come back at once; ten seconds of work."""

T = TypeVar("T")


class _Job(NamedTuple):
    work: Callable[[], Any]
    admit: Callable[[], None]
    result: asyncio.Future[Any]


class FairPool:
    """Runs jobs in threads, one party after the other."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._free = threads
        self._parties: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._waiting = 0

    def close(self) -> None:
        """Stop the threads when their present jobs are done."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def run(self, party: str, work: Callable[[], T], admit: Callable[[], None] = lambda: None) -> T:
        """Run `work` in a thread when it is this party's turn.

        `admit` is called on the event loop right before, and may raise what this then raises. Raises
        ThrottledError where too much waits already.
        """
        queue = self._parties.setdefault(party, deque())
        if self._waiting >= WAITING_MAX or len(queue) >= WAITING_EACH_MAX:
            raise ThrottledError("too much is waiting", code="throttled.busy")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        queue.append(_Job(work, admit, result))
        self._waiting += 1
        self._start()
        return await result

    def _start(self) -> None:
        while self._free and self._parties:
            party, queue = self._parties.popitem(last=False)
            job = queue.popleft()
            self._waiting -= 1
            if queue:
                self._parties[party] = queue
            if job.result.done():  # who asked has gone
                continue
            try:
                job.admit()
            except Exception as error:  # noqa: BLE001 - it is the asker's to handle
                job.result.set_exception(error)
                continue
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._threads, job.work)
            running.add_done_callback(partial(self._finish, job.result))

    def _finish(self, result: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
        self._free += 1
        error = None if done.cancelled() else done.exception()
        if not result.done():
            if done.cancelled():
                result.cancel()
            elif error is not None:
                result.set_exception(error)
            else:
                result.set_result(done.result())
        self._start()
