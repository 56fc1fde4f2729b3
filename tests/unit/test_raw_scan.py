"""The raw search looks into every file, in every form, and admits what it could not read."""

import os
from pathlib import Path

import pytest

from postkeep.crypto.fingerprint import fingerprint
from postkeep.services.destruction import scan as scanning
from postkeep.services.destruction.scan import ScanRequest, Subject, scan

SALT = b"s" * 16


def request(*secrets: bytes, control: bytes = b"") -> ScanRequest:
    prints = [fingerprint(secret, SALT) for secret in secrets]
    return ScanRequest(Subject(SALT, [fingerprint(control or os.urandom(32), SALT)]), [Subject(SALT, prints)])


def test_a_secret_is_found_wherever_it_lies_and_named_by_its_file(tmp_path: Path) -> None:
    """D1: also across the border of two pieces, and in what looks like text."""
    secret, control = os.urandom(32), os.urandom(32)
    (tmp_path / "control").write_bytes(control)
    (tmp_path / "clean").write_bytes(os.urandom(4096))
    clean = scan([tmp_path], request(secret, control=control))[0]
    assert clean.clean
    assert (clean.files, clean.octets, clean.sought) == (2, 4128, 1)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "raw").write_bytes(b"x" * 100 + secret + b"y")
    (deep / "hex").write_text(f"key={secret.hex()}\n")
    found = scan([tmp_path, deep], request(secret, control=control))[0]
    assert sorted(found.found) == sorted([str(deep / "raw"), str(deep / "hex")])
    assert found.roots == [str(tmp_path)]
    assert not found.clean


def test_a_secret_across_the_border_of_two_pieces_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "PIECE_BYTES", 64)
    secret = os.urandom(32)
    for at in range(33, 130, 7):
        (tmp_path / f"{at}").write_bytes(bytes(at) + secret + bytes(100))
    assert len(scan([tmp_path], request(secret))[0].found) == len(list(tmp_path.iterdir()))


def test_a_search_that_finds_no_control_or_could_not_read_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"nothing")
    assert not scan([tmp_path], request(os.urandom(32)))[0].clean
    control = os.urandom(32)
    (tmp_path / "control").write_bytes(control)
    assert not scan([tmp_path], request(control=control))[0].clean, "nothing was looked for"
    (tmp_path / "fifo").parent.joinpath("link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    assert scan([tmp_path], request(os.urandom(32), control=control))[0].files == 2, "links and pipes are not"
    with pytest.raises(ValueError, match="too much"):
        scan([tmp_path], request(*[os.urandom(32) for _ in range(scanning.PRINTS_MAX)]))
