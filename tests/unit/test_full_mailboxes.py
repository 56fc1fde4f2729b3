"""What a face remembers of mailboxes without room."""

import pytest

from postkeep.base.ids import new_id
from postkeep.services.delivery import full
from postkeep.services.delivery.full import FULL_SECONDS, FullMailboxes

TENANT, ANN, BOB = new_id(), new_id(), new_id()


def test_a_refusal_is_remembered_for_a_minute_for_messages_as_large_and_of_unknown_size() -> None:
    now = [100.0]
    mailboxes = FullMailboxes(lambda: now[0])
    mailboxes.note(TENANT, ANN, 5000)
    assert mailboxes.has_no_room(TENANT, ANN, 0)
    assert mailboxes.has_no_room(TENANT, ANN, 5000)
    assert not mailboxes.has_no_room(TENANT, ANN, 4999)
    assert not mailboxes.has_no_room(TENANT, BOB, 0)
    assert not mailboxes.has_no_room(new_id(), ANN, 0)
    now[0] += FULL_SECONDS
    assert not mailboxes.has_no_room(TENANT, ANN, 0)


def test_the_smallest_size_that_did_not_fit_counts_while_it_is_remembered() -> None:
    now = [100.0]
    mailboxes = FullMailboxes(lambda: now[0])
    mailboxes.note(TENANT, ANN, 10)
    mailboxes.note(TENANT, ANN, 5000)
    assert mailboxes.has_no_room(TENANT, ANN, 10)
    now[0] += FULL_SECONDS
    mailboxes.note(TENANT, ANN, 5000)
    assert not mailboxes.has_no_room(TENANT, ANN, 10)


def test_no_more_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full, "FULL_MAX", 2)
    mailboxes = FullMailboxes()
    people = [new_id() for _ in range(3)]
    for person in people:
        mailboxes.note(TENANT, person, 1)
    assert [mailboxes.has_no_room(TENANT, person, 0) for person in people] == [False, True, True]
