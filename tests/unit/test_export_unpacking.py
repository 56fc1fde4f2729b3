"""TM-42: taking an export out of its file: whole or not at all, never outside its directory, whoever made it.

The files here are sealed with the right key: whoever gives one away can put into it what he likes.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, RefusedError
from postkeep.crypto import export_file, hpke
from postkeep.services.export import contents, members, unpacking
from postkeep.services.export.members import Member, MemberWriter
from postkeep.services.export.sealed_file import SealedReader, SealedWriter
from postkeep.services.export.unpacking import unpack

PRIVATE = hpke.PrivateKey(hpke.new_private_seeds())
HEAD = contents.Head("postkeep export 1", "a@example.com", "aa", "bb", "", 0, 0, "cc", "Read out all", 1)
PATH, OTHER = "mail/00001-inbox/0000000001.eml", "mail/00001-inbox/0000000002.eml"
TEXT = b"Subject: one\r\n\r\ntext\r\n"


def opens(_kind: int) -> Callable[[bytes], bytes]:
    return lambda sealed: PRIVATE.open(sealed, export_file._info(PRIVATE.public_bytes))


def line(path: str = PATH, octets: bytes = TEXT, **change: Any) -> bytes:
    made = contents.Line("ab", 1, ("\\Seen",), 5, path, len(octets), hashlib.sha256(octets).hexdigest())
    return msgspec.json.encode(msgspec.structs.replace(made, **change)) + b"\n"


def end(*manifests: bytes, **change: Any) -> bytes:
    whole = b"".join(manifests)
    made = contents.End(1, 0, len(TEXT), hashlib.sha256(whole).hexdigest())
    return msgspec.json.encode(msgspec.structs.replace(made, **change))


GOOD = [
    (contents.HEAD, msgspec.json.encode(HEAD)),
    (contents.MAILBOXES, b"[]"),
    (PATH, TEXT),
    ("manifest/000001.jsonl", line()),
    (contents.END, end(line())),
]


def sealed(parts: list[tuple[str, bytes]], after: bytes = b"") -> io.BytesIO:
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_to(PRIVATE.public_bytes))
    inner = MemberWriter(writer.write)
    for name, octets in parts:
        inner.add(name, octets, 1_700_000_000)
    inner.end()
    writer.write(after)
    writer.finish()
    return io.BytesIO(file.getvalue())


def take(file: io.BytesIO, directory: Path) -> contents.End:
    return unpack(SealedReader(file, opens), directory)[1]


def test_an_export_is_taken_out_with_its_times_for_its_owner_only(tmp_path: Path) -> None:
    place = tmp_path / "out"
    assert take(sealed(GOOD), place).messages == 1
    message = place / PATH
    assert message.read_bytes() == TEXT
    assert message.stat().st_mtime == 1_700_000_000
    assert (message.stat().st_mode & 0o777, place.stat().st_mode & 0o777) == (0o600, 0o700)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_message_that_its_manifest_calls_damaged_is_not_taken_out(tmp_path: Path) -> None:
    manifest = line(damaged=True)
    last = end(manifest, messages=0, unreadable=1, octets=0)
    parts = changed(3, ("manifest/000001.jsonl", manifest))[:4]
    found = take(sealed([*parts, (contents.END, last)]), tmp_path / "out")
    assert (found.messages, found.unreadable) == (0, 1)
    assert list((tmp_path / "out").rglob("*.eml")) == []


def changed(at: int, *parts: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    return [*GOOD[:at], *parts, *GOOD[at + 1 :]]


BAD = {
    "a path that leads out": changed(2, ("../evil", TEXT)),
    "a path that leads out from inside": changed(2, ("mail/00001-inbox/../../../evil.eml", TEXT)),
    "an absolute path": changed(2, ("/tmp/evil", TEXT)),
    "a name of none of ours": changed(2, ("mail/00001-inbox/.bashrc", TEXT)),
    "a name with a line end": changed(2, (PATH + "\n", TEXT)),
    "a message twice": [*GOOD[:3], *GOOD[2:]],
    "a message that no manifest names": changed(2, GOOD[2], (OTHER, TEXT)),
    "a manifest with a message that is not there": changed(
        3, ("manifest/000001.jsonl", line() + line(OTHER))
    ),
    "a message that is not the one of its manifest": changed(2, (PATH, TEXT.replace(b"one", b"two"))),
    "a manifest with a wrong size": changed(3, ("manifest/000001.jsonl", line(size=1))),
    "a manifest out of its turn": changed(3, ("manifest/000002.jsonl", line())),
    "a manifest that is no JSON": changed(3, ("manifest/000001.jsonl", b"{")),
    "no end": GOOD[:4],
    "no manifest": [*GOOD[:3], GOOD[4]],
    "no head": GOOD[1:],
    "two heads": [GOOD[0], *GOOD],
    "no list of mailboxes": [GOOD[0], *GOOD[2:]],
    "a member after the end": [*GOOD, (OTHER, TEXT)],
    "a wrong count": changed(4, (contents.END, end(line(), messages=2))),
    "a wrong count of what could not be opened": changed(4, (contents.END, end(line(), unreadable=1))),
    "a wrong digest": changed(4, (contents.END, end(b"other"))),
    "another format": changed(
        0, (contents.HEAD, msgspec.json.encode(HEAD).replace(b"export 1", b"export 9"))
    ),
    "words that move the cursor": changed(
        0, (contents.HEAD, msgspec.json.encode(msgspec.structs.replace(HEAD, approved="\x1b[2Jall is well")))
    ),
    "nothing": [],
}


@pytest.mark.parametrize("parts", BAD.values(), ids=BAD)
def test_whatever_is_wrong_inside_leaves_nothing_behind(
    parts: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError):
        take(sealed(parts), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_hides_after_the_last_member_is_found(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        take(sealed(GOOD, b"more"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, b"x"])
def test_links_directories_and_extensions_are_no_members(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo(contents.HEAD)
    info.type, info.linkname = kind, "/etc/passwd"
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_to(PRIVATE.public_bytes))
    writer.write(info.tobuf(tarfile.USTAR_FORMAT))
    writer.write(bytes(2 * members.BLOCK_BYTES))
    writer.finish()
    with pytest.raises(IntegrityError):
        take(io.BytesIO(file.getvalue()), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_limits_hold_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "JSON_BYTES_MAX", 10)
    with pytest.raises(IntegrityError, match="too large"):
        take(sealed(GOOD), tmp_path / "out")
    monkeypatch.setattr(unpacking, "JSON_BYTES_MAX", 10_000)
    monkeypatch.setattr(unpacking, "UNLISTED_MAX", 0)
    with pytest.raises(IntegrityError, match="without a manifest"):
        take(sealed(GOOD), tmp_path / "out")
    monkeypatch.setattr(members, "MEMBER_BYTES_MAX", 5)
    with pytest.raises(IntegrityError, match="none so large"):
        take(large(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def large() -> io.BytesIO:
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_to(PRIVATE.public_bytes))
    info = tarfile.TarInfo(contents.HEAD)
    info.size = 6
    writer.write(info.tobuf(tarfile.USTAR_FORMAT))
    writer.finish()
    return io.BytesIO(file.getvalue())


def test_what_is_there_already_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    with pytest.raises(ConflictError):
        take(sealed(GOOD), place)
    place.rmdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError):
        take(sealed(GOOD), place)
    assert list(tmp_path.iterdir()) == [place]


def test_a_passphrase_opens_its_file_and_no_other_does() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_with_passphrase(b"the right one"))
    MemberWriter(writer.write).begin(Member("export.json", 0, 0))
    writer.finish()
    reader = SealedReader(
        io.BytesIO(file.getvalue()), lambda _kind: export_file.by_passphrase(b"the right one")
    )
    assert b"export.json" in reader.read(512)
    with pytest.raises(RefusedError) as wrong:
        SealedReader(io.BytesIO(file.getvalue()), lambda _kind: export_file.by_passphrase(b"the wrong one"))
    assert wrong.value.code == "wrong_passphrase"


def test_a_recipients_key_pair_opens_what_is_sealed_to_it_and_its_files_are_checked() -> None:
    text, private = export_file.new_key_pair(b"keeps the key")
    public = export_file.read_public_key(text)
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_to(public))
    writer.finish()
    SealedReader(
        io.BytesIO(file.getvalue()), lambda _kind: export_file.by_private_key(private, b"keeps the key")
    ).finish()
    with pytest.raises(RefusedError):
        export_file.by_private_key(private, b"another")
    for bad in (b"", private[1:], private + bytes(5000)):
        with pytest.raises(InvalidInputError):
            export_file.by_private_key(bad, b"keeps the key")
    for bad in (b"", text[:-20], text.replace(b"A", b"!"), b"postkeep-export-key/2 " + text.split()[1]):
        with pytest.raises(InvalidInputError):
            export_file.read_public_key(bad)


@pytest.mark.parametrize(
    "bad", [b"", b"postkeep-export/2\n", b"%PDF-1.7" + bytes(60), b"postkeep-export/1\n\x09\x00\x40"]
)
def test_what_is_no_export_is_called_so(bad: bytes) -> None:
    with pytest.raises(IntegrityError) as refused:
        SealedReader(io.BytesIO(bad), opens)
    assert refused.value.code == "not_an_export"
