"""Do the events add up? Each story has one thing in it that does not, and the verifier says which (A2, item
by item: a key without a ticket, without an access, an act without a command, a grant without approvals)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verifier.tests.conftest import Verify, kinds
from verifier.tests.made_ledger import Story, name_of, write

Told = Callable[[Story], tuple[str, int]]
OPERATOR: dict[str, Any] = {"session": name_of(900), "ticket": name_of(90)}


def staff(story: Story) -> None:
    cli: dict[str, Any] = {"module": "cli", "instance": "cli-1f"}
    story.tell("ticket.issue", "authority-0.aa", **cli, **OPERATOR, note="staff", count=300)


def command(story: Story) -> int:
    return story.tell("admin", "steward-0.aa", module="cli", note="user_create", **OPERATOR)


def done(story: Story, event: str = "directory", source: str = "authority-0.aa") -> int:
    return story.tell(event, source, module="steward", instance="steward-0.aa", **OPERATOR)


def opened(story: Story, *, actor: str = "anna", needed: int = 2, policy: str = "") -> None:
    note = f"{name_of(50)} destroy{policy}"
    story.tell("request.open", "authority-0.aa", note=note, actor=actor, digest="dd", count=needed)


def decided(story: Story, actor: str, word: str = "approve", digest: str = "dd") -> None:
    note = f"{name_of(50)} {word}"
    story.tell("request.decide", "authority-0.aa", note=note, actor=actor, digest=digest)


def granted(story: Story, digest: str = "dd") -> int:
    fields: dict[str, Any] = {"note": f"{name_of(50)} destroy", "ticket": name_of(51), "digest": digest}
    index = story.tell("request.grant", "authority-0.aa", **fields)
    issued(story)
    return index


def issued(story: Story) -> int:
    return story.ticket(51, note="destroy", tenant=name_of(7), module="steward", instance="steward-0.aa")


EXPORT: dict[str, Any] = {
    "tenant": name_of(7),
    "principal": name_of(8),
    "module": "export",
    "instance": "export-1f",
    "ticket": name_of(71),
}


def export_approved(story: Story, *votes: str, grant: bool = True) -> int:
    """Somebody asks for a person's mail, others approve, and the command gets its ticket."""
    note = f"{name_of(70)} export"
    story.tell("request.open", "authority-0.aa", note=note, actor="anna", digest="ff", count=2)
    for actor in votes:
        note_of_vote = f"{name_of(70)} approve"
        story.tell("request.decide", "authority-0.aa", note=note_of_vote, actor=actor, digest="ff")
    index = 0
    if grant:
        index = story.tell("request.grant", "authority-0.aa", note=note, ticket=name_of(71), digest="ff")
    known: dict[str, Any] = EXPORT | {"note": "export", "rule": "grant mail.export content at vault,kms"}
    story.tell("ticket.issue", "authority-0.aa", **known, count=600)
    return index


def export_read(story: Story, **fields: Any) -> int:
    """The export begins, a key is given for it, a page is read."""
    story.tell("export", "vault-0.aa", **EXPORT | {"note": f"{name_of(70)} begin"} | fields)
    released = EXPORT | {"method": "kms.open_epochs", "count": 3} | fields
    index = story.tell("key.release", "kms-0.aa", **released)
    story.tell("mail.read", "vault-0.aa", **EXPORT | {"note": name_of(70)} | fields)
    return index


def test_honest_stories_are_clean(tmp_path: Path, verify: Verify) -> None:
    story = Story()
    story.session(1, 1)
    # A read that is reported before its ticket: the reporters are different, and their notes cross.
    story.read(2, 2)
    person = {k: v for k, v in story.of(2, 2).items() if k != "ticket"}
    story.tell(
        "ticket.issue", "authority-0.aa", after_ms=-10, ticket=name_of(2), count=300, note="user", **person
    )
    # A module's own key, a relay's lease and read, an operator's command and what came of it.
    story.ticket(3, note="module", module="mx", instance="mx-0.aa")
    own: dict[str, Any] = {
        "module": "mx",
        "instance": "mx-0.aa",
        "method": "kms.release_secret",
        "ticket": name_of(3),
    }
    story.tell("key.release", "kms-0.aa", **own)
    relay: dict[str, Any] = {"module": "relay", "instance": "relay-0.aa", "ticket": name_of(4)}
    story.ticket(4, note="relay", module="relay", instance="relay-0.aa")
    story.tell("queue", "vault-0.aa", method="vault.queue_lease", **relay)
    story.tell("key.release", "kms-0.aa", method="kms.open_epochs", principal=name_of(8), **relay)
    story.tell("queue", "relay-0.aa", note="sent")
    staff(story)
    command(story)
    done(story)
    done(story, "key.create", "kms-0.aa")
    # A grant that two people have approved, and one that needed nobody by policy.
    opened(story)
    decided(story, "ben")
    decided(story, "cleo")
    granted(story)
    story.tell(
        "request.open", "authority-0.aa", note=f"{name_of(60)} destroy by-policy", actor="o", digest="ee"
    )
    fields: dict[str, Any] = {"note": f"{name_of(60)} destroy", "ticket": name_of(61), "digest": "ee"}
    story.tell("request.grant", "authority-0.aa", **fields)
    story.ticket(61, note="destroy", tenant=name_of(7), module="steward", instance="steward-0.aa")
    # A person's mail read out for others, on a request that two people have approved.
    export_approved(story, "ben", "cleo")
    export_read(story)
    story.later()
    write(tmp_path, story)
    code, answer = verify(tmp_path)
    assert (code, answer["findings"]) == (0, [])
    assert (answer["grants"], answer["by policy"], answer["commands"]) == (3, 1, 1)


def no_ticket(story: Story) -> tuple[str, int]:
    story.session(1, 1)
    story.read(2, 1)
    return "no_ticket", story.release(2, 1) - 1


def forged_release(story: Story) -> tuple[str, int]:
    """The key service gives out a key for a person who was never there."""
    story.session(1, 1)
    return "no_ticket", story.release(99, 3)


def forged_ticket(story: Story) -> tuple[str, int]:
    """Another module than the authority tells of a ticket."""
    index = story.tell("ticket.issue", "imap-0.aa", ticket=name_of(1), note="user", instance="imap-0.aa")
    return "false_witness", index


def no_access(story: Story) -> tuple[str, int]:
    story.session(1, 1)
    story.ticket(2, **{k: v for k, v in story.of(2, 2).items() if k != "ticket"})
    return "release_without_access", story.release(2, 2)


def access_too_late(story: Story) -> tuple[str, int]:
    story.ticket(1, **{k: v for k, v in story.of(1, 1).items() if k != "ticket"})
    index = story.release(1, 1)
    story.later(700)
    story.ticket(2, **{k: v for k, v in story.of(2, 1).items() if k != "ticket"})
    story.read(2, 1)
    return "release_without_access", index


def expired(story: Story) -> tuple[str, int]:
    story.session(1, 1)
    story.tell("heartbeat", "mx-0.aa", after_ms=330_000)
    return "ticket_expired", story.read(1, 1)


def revoked(story: Story) -> tuple[str, int]:
    story.session(1, 1)
    story.tell("ticket.revoke", "authority-0.aa", note=f"user {name_of(1)}")
    story.tell("heartbeat", "mx-0.aa", after_ms=12_000)
    return "ticket_revoked", story.read(1, 1)


def of_another_person(story: Story) -> tuple[str, int]:
    story.session(1, 1)
    return "ticket_of_another", story.read(1, 2)


def of_another_instance(story: Story) -> tuple[str, int]:
    story.session(1, 1)
    fields: dict[str, Any] = story.of(1, 1) | {"instance": "imap-1.bb"}
    return "ticket_of_another", story.tell("mail.read", "vault-0.aa", **fields)


def without_command(story: Story) -> tuple[str, int]:
    """The authority changes the directory in an operator's session that gave no command."""
    staff(story)
    return "act_without_command", done(story)


def shred_without_command(story: Story) -> tuple[str, int]:
    staff(story)
    return "act_without_command", done(story, "key.shred", "kms-0.aa")


def command_without_ticket(story: Story) -> tuple[str, int]:
    return "no_ticket", command(story)


def one_vote_is_missing(story: Story) -> tuple[str, int]:
    opened(story)
    decided(story, "ben")
    return "grant_without_votes", granted(story)


def own_vote(story: Story) -> tuple[str, int]:
    opened(story)
    decided(story, "ben")
    decided(story, "anna")
    return "grant_without_votes", granted(story)


def same_vote_twice(story: Story) -> tuple[str, int]:
    opened(story)
    decided(story, "ben")
    decided(story, "ben")
    return "grant_without_votes", granted(story)


def vote_for_something_else(story: Story) -> tuple[str, int]:
    opened(story)
    decided(story, "ben")
    decided(story, "cleo", digest="xx")
    return "grant_without_votes", granted(story)


def grant_of_something_else(story: Story) -> tuple[str, int]:
    opened(story)
    decided(story, "ben")
    decided(story, "cleo")
    return "grant_without_request", granted(story, digest="xx")


def nobody_asked(story: Story) -> tuple[str, int]:
    return "grant_without_request", granted(story)


def ticket_without_grant(story: Story) -> tuple[str, int]:
    opened(story)
    return "grant_without_approval", issued(story)


def export_lacks_a_vote(story: Story) -> tuple[str, int]:
    return "grant_without_votes", export_approved(story, "ben", "anna")


def export_without_grant(story: Story) -> tuple[str, int]:
    """The authority makes the ticket of an export whose approvals nobody has counted."""
    export_approved(story, "ben", "cleo", grant=False)
    return "grant_without_approval", len(story.events) - 1


def grant_of_an_unknown_kind(story: Story) -> tuple[str, int]:
    index = story.ticket(81, note="lockbox", rule="grant mail.read content at vault", module="steward")
    return "grant_without_approval", index


def export_key_without_ticket(story: Story) -> tuple[str, int]:
    return "no_ticket", export_read(story) - 1


def export_of_somebody_else(story: Story) -> tuple[str, int]:
    """A key to another person's mail is given on the grant that was approved for one person."""
    export_approved(story, "ben", "cleo")
    return "ticket_of_another", export_read(story, principal=name_of(9))


def export_key_without_reading(story: Story) -> tuple[str, int]:
    export_approved(story, "ben", "cleo")
    released: dict[str, Any] = EXPORT | {"method": "kms.open_epochs", "count": 3}
    return "release_without_access", story.tell("key.release", "kms-0.aa", **released)


def export_told_by_another(story: Story) -> tuple[str, int]:
    return "false_witness", story.tell("export", "imap-0.aa", **EXPORT)


@pytest.mark.parametrize(
    "tell",
    [
        export_lacks_a_vote,
        export_without_grant,
        grant_of_an_unknown_kind,
        export_key_without_ticket,
        export_of_somebody_else,
        export_key_without_reading,
        export_told_by_another,
        no_ticket,
        forged_release,
        forged_ticket,
        no_access,
        access_too_late,
        expired,
        revoked,
        of_another_person,
        of_another_instance,
        without_command,
        shred_without_command,
        command_without_ticket,
        one_vote_is_missing,
        own_vote,
        same_vote_twice,
        vote_for_something_else,
        grant_of_something_else,
        nobody_asked,
        ticket_without_grant,
    ],
)
def test_what_does_not_add_up_is_named(tmp_path: Path, verify: Verify, tell: Told) -> None:
    story = Story()
    story.session(10, 4)
    expected = tell(story)
    story.later()
    write(tmp_path, story)
    code, answer = verify(tmp_path)
    assert code == 1
    assert expected in kinds(answer)


def test_the_end_of_a_log_is_not_judged_too_early(tmp_path: Path, verify: Verify) -> None:
    """A copy may end between two reports; what could still come is counted and not blamed."""
    story = Story()
    story.session(1, 1)
    story.release(2, 2)
    write(tmp_path, story)
    code, answer = verify(tmp_path)
    assert (code, answer["open"]) == (0, 2)
