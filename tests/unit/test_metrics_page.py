"""Metrics of several processes on one page."""

import selectors
import socket
import time

from prometheus_client import CollectorRegistry, Counter, generate_latest

from postkeep.node import metrics
from postkeep.node.supervisor.metrics_page import ANSWER_SECONDS_MAX, MetricsPage


def _page(name: str, value: float) -> bytes:
    registry = CollectorRegistry()
    Counter(name, "Messages taken.", ["result"], registry=registry).labels("ok").inc(value)
    return generate_latest(registry)


def test_samples_of_one_family_stand_together_with_their_instance() -> None:
    merged = metrics.merge({"mx-0": _page("taken", 2), "mx-1": _page("taken", 3)}).decode()
    assert merged.count("# TYPE taken_total counter") == 1
    assert 'taken_total{instance="mx-0",result="ok"} 2.0' in merged
    assert 'taken_total{instance="mx-1",result="ok"} 3.0' in merged
    lines = merged.splitlines()
    first = lines.index("# TYPE taken_total counter")
    assert lines[first + 1].startswith("taken_total{")
    assert lines[first + 2].startswith("taken_total{")


def _get(page_of: dict[str, bytes], path: bytes, silent: set[str]) -> bytes:
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    asked: list[int] = []

    def ask(number: int) -> list[str]:
        asked.append(number)
        return list(page_of)

    page = MetricsPage(listener, selector, ask)
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    deadline = time.monotonic() + 3 * ANSWER_SECONDS_MAX
    client.settimeout(0.01)
    received = b""
    answered = 0
    while time.monotonic() < deadline:
        for key, _ in selector.select(0.01):
            key.data(time.monotonic())
        for number in asked[answered:]:
            answered += 1
            for name, text in page_of.items():
                if name not in silent:
                    page.answer(number, name, text)
        page.tick(time.monotonic())
        try:
            data = client.recv(65536)
        except TimeoutError:
            continue
        if not data:
            break
        received += data
    client.close()
    page.close()
    selector.close()
    return received


def test_the_page_gathers_all_processes_and_leaves_out_a_silent_one() -> None:
    answer = _get({"mx-0": _page("taken", 1), "imap-0": _page("taken", 9)}, b"/metrics", {"imap-0"})
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'instance="mx-0"' in answer
    assert b'instance="imap-0"' not in answer


def test_other_paths_are_not_there() -> None:
    assert _get({}, b"/secret", set()).startswith(b"HTTP/1.1 404")
