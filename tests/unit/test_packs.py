"""Packs on a real disk: appending, reading, walking, tearing, rolling."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from postkeep.base.errors import IntegrityError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.stores import packs as packs_module
from postkeep.stores.packs import HEADER_BYTES, Body, Location, Packs, frame_header, parse_header

TENANT = new_id()


def bodies(*lengths: int) -> list[Body]:
    return [Body(TENANT, new_id(), os.urandom(length)) for length in lengths]


def test_bodies_come_back_byte_for_byte_in_the_order_asked(tmp_path: Path) -> None:
    packs = Packs(tmp_path / "packs" / "content")
    stored = bodies(1, 100, 0, 70_000, 5)
    places = packs.append_many(stored[:2]) + packs.append_many(stored[2:])
    order = [3, 0, 4, 1, 2, 3]
    assert packs.read_many([places[n] for n in order]) == [stored[n].data for n in order]
    pack, offset, _ = places[3]
    part = Location(pack, offset + 1000, 50)
    assert packs.read_many([part]) == [stored[3].data[1000:1050]]
    packs.close()


def test_walking_finds_every_body_where_it_lies(tmp_path: Path) -> None:
    packs = Packs(tmp_path)
    stored = bodies(10, 2000, 300)
    places = packs.append_many(stored)
    found = list(packs.walk(1))
    assert [(frame.tenant, frame.body) for frame in found] == [(item.tenant, item.body) for item in stored]
    assert [frame.location for frame in found] == places
    end = places[1].offset + places[1].length
    assert [frame.location for frame in packs.walk(1, end)] == places[:2]
    packs.close()


def test_a_restart_continues_a_clean_pack_and_leaves_a_torn_one_alone(tmp_path: Path) -> None:
    first = Packs(tmp_path)
    stored = bodies(100, 200)
    places = first.append_many(stored)
    first.close()
    second = Packs(tmp_path)
    assert second.append_many(bodies(50))[0].pack == 1
    second.close()
    path = tmp_path / "00000001.pack"
    with path.open("ab") as file:
        file.write(frame_header(TENANT, new_id(), 5000) + b"half a bo")
    size = path.stat().st_size
    third = Packs(tmp_path)
    assert third.append_many(bodies(50))[0].pack == 2
    assert path.stat().st_size == size
    assert len(list(third.walk(1))) == 3
    assert third.read_many(places) == [item.data for item in stored]
    third.close()


def test_a_pack_is_rolled_at_its_size_and_large_groups_stay_whole(tmp_path: Path) -> None:
    packs = Packs(tmp_path, pack_bytes_max=1000)
    groups: Sequence[Sequence[int]] = ((600,), (100,), (600,), (3000, 10), (10,))
    numbers = [{place.pack for place in packs.append_many(bodies(*group))} for group in groups]
    assert numbers == [{1}, {1}, {2}, {3}, {4}]
    assert [pack.pack for pack in packs.sizes()] == [1, 2, 3, 4]
    packs.close()


def test_a_removed_pack_is_missing_to_new_readers_and_readable_to_old_ones(tmp_path: Path) -> None:
    packs = Packs(tmp_path)
    stored = bodies(100, 100)
    places = packs.append_many(stored)
    with pytest.raises(ValueError, match="open pack"):
        packs.remove(1)
    packs.roll()
    reader = packs.walk(1)
    next(reader)
    packs.remove(1)
    packs.remove(1)
    assert next(reader).body == stored[1].body
    with pytest.raises(FileNotFoundError):
        packs.read_many(places)
    assert packs.append_many(bodies(1))[0].pack == 2
    packs.close()


def test_a_pack_removed_while_it_is_read_is_read_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = Packs(tmp_path)
    (stored,) = bodies(100)
    (place,) = packs.append_many([stored])
    packs.roll()
    pread = os.pread

    def removed_meanwhile(fd: int, length: int, offset: int) -> bytes:
        packs.remove(1)
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", removed_meanwhile)
    assert packs.read_many([place]) == [stored.data]
    packs.close()


def test_a_pack_that_ends_too_early_is_noticed(tmp_path: Path) -> None:
    packs = Packs(tmp_path)
    (place,) = packs.append_many(bodies(100))
    with pytest.raises(IntegrityError):
        packs.read_many([place._replace(length=200)])
    packs.close()


def test_after_a_failed_write_the_pack_is_never_appended_to_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = Packs(tmp_path)
    stored = bodies(100)
    places = packs.append_many(stored)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(UnavailableError):
            packs.append_many(bodies(100))
    assert packs.append_many(bodies(100))[0].pack == 2
    assert packs.read_many(places) == [stored[0].data]
    packs.close()


def test_short_writes_and_reads_are_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_write, really_read = os.pwritev, os.pread

    def write_little(fd: int, buffers: Sequence[bytes], offset: int) -> int:
        return really_write(fd, [memoryview(buffers[0])[:7]], offset)

    def read_little(fd: int, length: int, offset: int) -> bytes:
        return really_read(fd, min(length, 9) if length != HEADER_BYTES else length, offset)

    packs = Packs(tmp_path)
    monkeypatch.setattr(os, "pwritev", write_little)
    monkeypatch.setattr(os, "pread", read_little)
    stored = bodies(100, 3, 30)
    assert packs.read_many(packs.append_many(stored)) == [item.data for item in stored]
    packs.close()


def test_few_descriptors_serve_many_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs_module, "PACKS_OPEN_MAX", 2)
    packs = Packs(tmp_path, pack_bytes_max=1)
    stored = bodies(*[20] * 8)
    places = [packs.append_many([item])[0] for item in stored]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert packs.read_many(places) == [item.data for item in stored]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    packs.close()


def test_a_header_with_any_bit_flipped_is_none() -> None:
    header = frame_header(TENANT, new_id(), 12345)
    assert parse_header(header) is not None
    for bit in range(len(header) * 8):
        flipped = bytearray(header)
        flipped[bit // 8] ^= 1 << bit % 8
        assert parse_header(bytes(flipped)) is None
    assert parse_header(header[:-1]) is None
    assert parse_header(b"") is None
