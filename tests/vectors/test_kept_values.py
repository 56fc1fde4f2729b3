"""What backups, the ledger and searches keep, frozen: values of an earlier build open, names do not move."""

from postkeep.crypto import backup, backup_keys, personal
from postkeep.crypto.fingerprint import Search, fingerprint

PARENT = bytes(range(32))
ONE, OTHER = b"\x01" * 16, b"\x02" * 16

OBJECT = (
    "3e127086ea47cb0deb564a32bb6095acdda3cf55c3567c1841d7233e4577193c8df6cf17073cf39938ea02308466c0f3bd9c"
    "303e696abd2c0244b0ee8761b0f9bdad7301db73a6d95eccef3b0d0cf8c6ef445497e42dfba990b280"
)
WEEKLY = (
    "01341fe70b61ace0f400d1661ce9b00efc0c6e532a76805f9877dda045fa09a932631ef8123d223868d5115d0addab692339"
    "bacc98425a78c2484dcae0"
)
RING = (
    "018494ef52cfe184378799d3e2bca7cf303967bbeffaed3c773e169bec62a1a298f52ec3ae0f092c37feddb22026af9a4f8c"
    "fbdf32efb81ee688a75da8"
)
PREDECESSOR = (
    "017059884d56fac296f85dc2db43d3d3b1cdf9fc10fd7740c367551e17ffea8494e2852d65ff9dfc78aa3272d4d281e717f9"
    "e25c3611219a16bb76bebe"
)
PERSONAL = "AcfIruSQ31kbsvrBJC0POT63eocRIABVJIXQxFHX9QgzQ3E0ooQgj-8OCWI-AAr2spZU8g"


def test_objects_and_names_of_a_backup_are_what_they_were() -> None:
    assert backup.piece_name(PARENT, b"a piece") == (
        "cf56c90bbc8301f256a8cd035702ba6ef4d9e7f2d194e5c8d09bb42e65b02356"
    )
    assert backup.open_object(PARENT, "manifest", "01", bytes.fromhex(OBJECT)) == b"octets " * 9
    assert backup.manifest_statement("01", PARENT) == (
        b"postkeep/1" + b"\x00\x0fbackup manifest" + b"s\x00\x00\x00\x0201" + b"b\x00\x00\x00\x20" + PARENT
    )
    assert backup.tombstone_statement(b"l" * 16, 3, PARENT) == (
        b"postkeep/1"
        b"\x00\x10backup tombstone"
        b"b\x00\x00\x00\x10"
        + b"l" * 16
        + b"i\x00\x00\x00\x00\x00\x00\x00\x03"
        + b"b\x00\x00\x00\x20"
        + PARENT
    )


def test_the_keys_of_backups_open_and_derive_as_before() -> None:
    week = backup_keys.week_path(ONE, 7)
    assert backup_keys.week_wrapper(PARENT).unwrap(bytes.fromhex(WEEKLY), week) == bytes(32)
    ring = backup_keys.ring_path("backup/data", b"")
    assert backup_keys.ring_wrapper(PARENT).unwrap(bytes.fromhex(RING), ring) == bytes(32)
    former = backup_keys.predecessor_path(ONE, 7)
    opened = backup_keys.predecessor_wrapper(PARENT).unwrap(bytes.fromhex(PREDECESSOR), former)
    assert opened == bytes(32)
    assert backup_keys.wraps_parent(PARENT).hex() == (
        "80d44a34d87812eeab7933a1b2b017dbfedde2102874aa175ae75c1c792007dd"
    )
    assert backup_keys.slots_parent(PARENT).hex() == (
        "6b12a00ce3d7d5e05b5ad68137b2d310b39786c89a87836ea714c02c532be942"
    )


def test_a_persons_values_in_the_ledger_open() -> None:
    seal = personal.PersonalSeal(PARENT, ONE, OTHER)
    assert seal.open(PERSONAL, "authority-0.aa", 7) == b'{"address":"192.0.2.1"}'


def test_a_fingerprint_that_was_kept_still_finds_its_secret() -> None:
    kept = fingerprint(PARENT, ONE)
    assert (kept.length, kept.prefix.hex(), kept.digest.hex()) == (
        32,
        "00010203",
        "965496403e55c5b35a1a6040b5a17f6f",
    )
    assert list(Search([kept], ONE).hits(b"before" + PARENT + b"after")) == [0]
