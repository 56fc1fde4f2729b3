import os
import stat
from pathlib import Path

import pytest

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from postkeep.stores.slots import HEADER_BYTES, ErasableSlots

RECORD = 96


def records(count: int, size: int = 32) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


def test_records_come_back_in_the_order_asked(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 32) as slots:
        wrote = records(50)
        numbers = slots.write_many(wrote)
        assert numbers == range(50)
        assert slots.read_many([7, 49, 0, 7]) == [wrote[7], wrote[49], wrote[0], wrote[7]]
        assert slots.read(3) == wrote[3]


def test_an_erased_record_is_in_no_byte_of_the_file(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 32) as slots:
        wrote = records(100)
        slots.write_many(wrote)
        gone = [0, 3, 4, 5, 98, 99]
        assert all(wrote[slot] in (tmp_path / "slots").read_bytes() for slot in gone)
        slots.erase_many(gone)
        raw = (tmp_path / "slots").read_bytes()
        assert [slot for slot in range(100) if wrote[slot] not in raw] == gone
        assert [slot for slot, record in enumerate(slots.read_many(range(100))) if record is None] == gone
        with pytest.raises(NotFoundError):
            slots.read(4)


def test_numbers_are_never_used_again_even_after_erasing_the_last_and_reopening(tmp_path: Path) -> None:
    path = tmp_path / "slots"
    with ErasableSlots(path, 32) as slots:
        slots.write_many(records(3))
        slots.erase_many([0, 1, 2])
    with ErasableSlots(path, 32) as slots:
        assert slots.write_many(records(2)) == range(3, 5)
        assert len(slots) == 5


def test_a_torn_tail_is_a_slot_that_nobody_refers_to(tmp_path: Path) -> None:
    path = tmp_path / "slots"
    with ErasableSlots(path, 32) as slots:
        kept = records(1)
        slots.write_many(kept)
    with path.open("ab") as file:
        file.write(b"torn")
    with ErasableSlots(path, 32) as slots:
        fresh = records(1)
        assert slots.write_many(fresh) == range(2, 3)
        assert slots.read_many([0, 2]) == [kept[0], fresh[0]]


def test_a_record_lost_in_a_crash_reads_as_erased(tmp_path: Path) -> None:
    path = tmp_path / "slots"
    with ErasableSlots(path, 32) as slots:
        slots.write_many(records(4))
        os.truncate(path, HEADER_BYTES + 2 * 32 + 5)
        assert [record is None for record in slots.read_many(range(4))] == [False, False, True, True]


def test_reads_bridge_gaps_and_cross_the_largest_read(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 96) as slots:
        wrote = records(30_000, 96)
        slots.write_many(wrote)
        wanted = [*range(0, 30_000, 7), 29_999, 1]
        assert slots.read_many(wanted) == [wrote[slot] for slot in wanted]


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 32):
        assert stat.S_IMODE((tmp_path / "slots").stat().st_mode) == 0o600


def test_a_second_opening_is_refused_while_the_first_is_open(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 32), pytest.raises(ConflictError):
        ErasableSlots(tmp_path / "slots", 32)
    ErasableSlots(tmp_path / "slots", 32).close()


def test_another_record_size_or_another_file_is_refused(tmp_path: Path) -> None:
    ErasableSlots(tmp_path / "slots", 32).close()
    with pytest.raises(IntegrityError):
        ErasableSlots(tmp_path / "slots", 96)
    (tmp_path / "text").write_text("not slots at all, but something else of more than sixty-four bytes......")
    with pytest.raises(IntegrityError):
        ErasableSlots(tmp_path / "text", 32)


@pytest.mark.parametrize("left", [0, 5, 12, 40])
def test_a_header_cut_short_by_a_crash_is_written_again(tmp_path: Path, left: int) -> None:
    path = tmp_path / "slots"
    ErasableSlots(path, 32).close()
    os.truncate(path, left)
    with ErasableSlots(path, 32) as slots:
        assert slots.write_many(records(1)) == range(1)


def test_wrong_sizes_zeros_and_negative_numbers_are_refused(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 32) as slots:
        for bad in ([bytes(32)], [b"short"], [os.urandom(31), os.urandom(33), bytes(32)]):
            with pytest.raises(InvalidInputError):
                slots.write_many(bad)
        with pytest.raises(InvalidInputError):
            slots.read_many([-1])
        assert len(slots) == 0
    with pytest.raises(InvalidInputError):
        ErasableSlots(tmp_path / "large", 5000)


def test_erasing_what_was_never_written_changes_nothing(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", 32) as slots:
        wrote = records(2)
        slots.write_many(wrote)
        slots.erase_many([5, 1_000_000])
        assert slots.read_many([0, 1, 5]) == [wrote[0], wrote[1], None]
        assert slots.size_bytes == (tmp_path / "slots").stat().st_size


def test_blocks_of_erased_slots_take_no_space_and_still_read_as_erased(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", RECORD) as slots:
        records_made = records(8192, RECORD)
        slots.write_many(records_made)
        os.fsync(slots._fd)
        before = (tmp_path / "slots").stat()
        kept = {0, 1, 4000, 8191}
        slots.erase_many(set(range(8192)) - kept)
        punched = slots.punch(0, len(slots))
        os.fsync(slots._fd)
        after = (tmp_path / "slots").stat()
        assert after.st_size == before.st_size
        assert punched >= 8192 * RECORD - 8 * 4096
        assert after.st_blocks * 512 <= before.st_blocks * 512 - punched
        found = slots.read_many(range(8192))
        assert [number for number, record in enumerate(found) if record is not None] == sorted(kept)
        assert [found[number] for number in sorted(kept)] == [records_made[number] for number in sorted(kept)]
        assert slots.punch(0, len(slots)) == 0, "holes are not looked at again"
        (new,) = slots.write_many([records_made[5]])
        assert (new, slots.read(new)) == (8192, records_made[5])


def test_nothing_is_given_back_beyond_the_slots_named(tmp_path: Path) -> None:
    with ErasableSlots(tmp_path / "slots", RECORD) as slots:
        slots.write_many(records(1000, RECORD))
        slots.erase_many(range(1000))
        assert slots.punch(0, 0) == 0
        assert slots.punch(900, 10_000) <= 100 * RECORD
