"""Logs hold no personal data and no secrets, whoever writes them."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from postkeep.node import logs
from postkeep.node.config import LogConfig


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def _written(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    line = capsys.readouterr().err.strip().splitlines()[-1]
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_fields_that_name_people_or_hold_secrets_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogConfig(format="json"), "imap", "imap-0.1")
    structlog.get_logger().info(
        "x", password="hunter2", address="a@b.example", count=3, nested={"ticket": "t"}
    )
    event = _written(capsys)
    assert event["password"] == event["address"] == logs.REMOVED
    assert event["nested"] == {"ticket": logs.REMOVED}
    assert event["count"] == 3
    assert (event["module"], event["instance"]) == ("imap", "imap-0.1")


def test_addresses_tickets_and_passwords_are_removed_from_any_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(LogConfig(format="json"), "mx", "mx-0.1")
    structlog.get_logger().warning(
        "x", detail="no alice@example.com", other="v4.public.AAAA.BBBB", url="postgresql://kms:secret@/kms"
    )
    text = json.dumps(_written(capsys))
    assert "alice" not in text
    assert "AAAA" not in text
    assert "secret" not in text


def test_octets_are_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogConfig(format="json"), "mx", "mx-0.1")
    structlog.get_logger().info("x", data=b"raw message", more=[b"raw"])
    assert "raw" not in json.dumps({k: v for k, v in _written(capsys).items() if k in {"data", "more"}})


def test_an_exception_shows_its_kind_and_place_but_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogConfig(format="json"), "mx", "mx-0.1")
    try:
        int("the subject is Lunch")
    except ValueError:
        structlog.get_logger().exception("failed")
    event = _written(capsys)
    assert event["exception"] == "ValueError"
    assert "test_logs" in str(event["where"])
    assert "Lunch" not in json.dumps(event)


def test_library_messages_keep_their_origin_and_lose_their_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogConfig(format="json"), "mx", "mx-0.1")
    logging.getLogger("asyncio").error("task of %s failed", "alice")
    event = _written(capsys)
    assert event["library"] == "asyncio"
    assert "alice" not in json.dumps(event)
