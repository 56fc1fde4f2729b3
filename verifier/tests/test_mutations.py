"""A2, A3: whatever is done to a ledger after it was signed is found, and named by its place."""

from pathlib import Path
from typing import Any

import pytest
from verifier.tests import made_ledger as made
from verifier.tests.conftest import Verify, kinds


def bundle(entries: list[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def flipped(part: list[bytes], at: int) -> list[bytes]:
    return [*part[:at], part[at].replace(b'"number":', b'"numbes":'), *part[at + 1 :]]


def dropped(part: list[bytes], at: int) -> list[bytes]:
    return part[:at] + part[at + 1 :]


def inserted(part: list[bytes], at: int) -> list[bytes]:
    foreign = b'{"event":"heartbeat","time_ms":1,"source":"x-0.aa","number":1}'
    return [*part[:at], foreign, *part[at:]]


def swapped(part: list[bytes], at: int) -> list[bytes]:
    return [*part[:at], part[at + 2], part[at + 1], part[at], *part[at + 3 :]]


MUTATIONS = {
    "entry_altered": flipped,
    "entry_removed": dropped,
    "entry_inserted": inserted,
    "entries_swapped": swapped,
}


def test_a_whole_ledger_is_clean(tmp_path: Path, verify: Verify) -> None:
    made.write(tmp_path, made.long_story())
    code, answer = verify(tmp_path)
    assert (code, answer["findings"]) == (0, [])
    assert (answer["entries"], answer["releases"], answer["sources"]) == (801, 200, 3)


@pytest.mark.parametrize("kind", MUTATIONS)
@pytest.mark.parametrize("at", [0, 100, 253, 300, 798])
def test_every_change_of_a_bundle_is_named_by_its_entry(
    tmp_path: Path, verify: Verify, kind: str, at: int
) -> None:
    entries = made.write(tmp_path, made.long_story())
    number, place = divmod(at, 256)
    part = entries[number * 256 :][:256]
    changed = MUTATIONS[kind](part, place)
    made.put(tmp_path / "log" / made.path_of("entries", number, len(part)), bundle(changed))
    code, answer = verify(tmp_path)
    assert code == 1
    assert answer["first_bad_index"] == at
    assert (kind, at) in kinds(answer)


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_change_with_all_its_tiles_made_anew_contradicts_the_signed_head(
    tmp_path: Path, verify: Verify, kind: str
) -> None:
    entries = made.write(tmp_path, made.long_story())
    head = (tmp_path / "log" / "checkpoint").read_bytes()
    made.write(tmp_path, MUTATIONS[kind](entries, 300))
    made.put(tmp_path / "log" / "checkpoint", head)
    code, answer = verify(tmp_path)
    assert code == 1
    assert {"rewritten", "file_missing"} & {finding["kind"] for finding in answer["findings"]}


def test_a_change_before_a_head_that_was_kept_is_placed_between_heads(tmp_path: Path, verify: Verify) -> None:
    """The log's own head is signed anew by whoever has the key; the heads kept elsewhere tell."""
    entries = made.write(tmp_path, made.long_story())
    kept = []
    for size in (200, 512, 700):
        kept += ["--known", str(tmp_path / f"head-{size}")]
        (tmp_path / f"head-{size}").write_bytes(
            made.checkpoint(size, made.root(made.leaves_of(entries[:size])), post_quantum=False)
        )
    assert verify(tmp_path, *kept)[0] == 0
    made.write(tmp_path, flipped(entries, 600))
    code, answer = verify(tmp_path, *kept)
    assert code == 1
    assert ("rewritten", 512) in kinds(answer)


def test_two_heads_of_one_size_are_a_fork(tmp_path: Path, verify: Verify) -> None:
    """A3."""
    entries = made.write(tmp_path, made.long_story())
    other = made.checkpoint(len(entries), made.root(made.leaves_of(flipped(entries, 600))))
    (tmp_path / "other").write_bytes(other)
    code, answer = verify(tmp_path, "--known", str(tmp_path / "other"))
    assert code == 1
    assert ("fork", None) in kinds(answer)


def test_a_log_shorter_than_a_head_that_was_signed_is_cut_off(tmp_path: Path, verify: Verify) -> None:
    entries = made.write(tmp_path / "long", made.long_story())
    made.write(tmp_path / "short", entries[:500])
    code, answer = verify(tmp_path / "short", "--known", str(tmp_path / "long" / "log" / "checkpoint"))
    assert code == 1
    assert ("cut_off", 500) in kinds(answer)


@pytest.mark.parametrize(("level", "index", "width"), [(0, 1, 256), (0, 3, 33), (1, 0, 3)])
def test_a_tile_that_was_altered_is_not_blamed_on_the_entries(
    tmp_path: Path, verify: Verify, level: int, index: int, width: int
) -> None:
    made.write(tmp_path, made.long_story())
    path = tmp_path / "log" / made.path_of(level, index, width)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    code, answer = verify(tmp_path)
    assert code == 1
    assert [kind for kind, _ in kinds(answer)] == ["tile_altered"]


@pytest.mark.parametrize(
    "place", ["tile/entries/001", "tile/0/002", "tile/entries/003.p/33", "tile/1/000.p/3"]
)
def test_a_missing_file_is_named(tmp_path: Path, verify: Verify, place: str) -> None:
    made.write(tmp_path, made.long_story())
    (tmp_path / "log" / place).unlink()
    code, answer = verify(tmp_path)
    assert code == 1
    assert [finding.get("place") for finding in answer["findings"]] == [place]


def test_events_that_never_came_show_by_their_numbers(tmp_path: Path, verify: Verify) -> None:
    """What was kept out of the log before it was signed: the tree is true, the numbers are not."""
    story = made.long_story()
    made.write(tmp_path / "gap", [e for n, e in enumerate(story.entries()) if n != 401])
    code, answer = verify(tmp_path / "gap")
    assert code == 1
    assert any(finding["kind"] == "number_gap" for finding in answer["findings"])
    twice = [*story.entries()[:401], *story.entries()[400:]]
    made.write(tmp_path / "twice", twice)
    code, answer = verify(tmp_path / "twice")
    assert code == 1
    assert ("number_repeated", 401) in kinds(answer)


def test_lost_events_that_the_ledger_has_recorded_are_told_but_are_no_fault(
    tmp_path: Path, verify: Verify
) -> None:
    story = made.Story()
    story.tell("heartbeat", "mx-0.aa")
    story.tell("node", "ledger-0.aa", code="lost_events", actor="mx-0.aa", note="2-4", count=3)
    story.numbers["mx-0.aa"] = 4
    story.tell("heartbeat", "mx-0.aa")
    made.write(tmp_path, story)
    code, answer = verify(tmp_path)
    assert (code, answer["lost"]) == (0, 3)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"event":"x","time_ms":1,"source":"a"}',
        b'{"event":"x","time_ms":"1","source":"a","number":1}',
        b'{"event":"x","event":"x","time_ms":1,"source":"a","number":1}',
        b'{"event":"x","time_ms":1,"source":"a","number":1}{}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_an_entry_that_is_no_event_is_named(tmp_path: Path, verify: Verify, entry: bytes) -> None:
    made.write(tmp_path, [entry[:65_000]])
    code, answer = verify(tmp_path)
    assert (code, kinds(answer)) == (1, [("entry_unreadable", 0)])


def test_several_processes_find_the_same(tmp_path: Path, verify: Verify, monkeypatch: Any) -> None:
    """The stretches are small here; the work is the same."""
    monkeypatch.setattr("postkeep_verifier.tree.STRETCH_BUNDLES", 1)
    entries = made.write(tmp_path, made.long_story())
    made.put(tmp_path / "log" / made.path_of("entries", 1), bundle(flipped(entries[256:512], 44)))
    code, answer = verify(tmp_path, "-j2")
    assert code == 1
    assert answer["first_bad_index"] == 300
