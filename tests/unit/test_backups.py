"""Backups without a node: names, choices, ranges, what a target takes, what a configuration becomes."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError, InvalidInputError, NotFoundError
from postkeep.crypto.backup import open_object, open_piece, piece_name, seal_object
from postkeep.model.backup import Database, Extent, File, KeyPart, Manifest, Tombstone, Tree
from postkeep.node.config import BackupConfig, Config, ListenConfig, MxConfig, RelayConfig, TlsConfig
from postkeep.node.postgres.settings import archive_command
from postkeep.node.toml import portable_config
from postkeep.services.backup.choosing import choose, joined_packs
from postkeep.services.backup.fetching import Fetcher
from postkeep.services.backup.logs import segments
from postkeep.services.backup.replaying import missing_after, owners_of, slots_erased
from postkeep.services.backup.shipping import Shipper, TreeBuilder
from postkeep.services.vault.backing import runs
from postkeep.stores.backup_target import DirectoryTarget, check_name, open_target
from postkeep.stores.slots import ErasableSlots

PARENT = bytes(range(32))


@given(st.binary(max_size=40_000), st.integers(0, 10_000))
def test_an_object_opens_under_its_own_name_kind_and_key_and_whole_only(data: bytes, at: int) -> None:
    sealed = seal_object(PARENT, "piece", "a", data)
    assert open_object(PARENT, "piece", "a", sealed) == data
    changed = bytearray(sealed)
    changed[at % len(sealed)] ^= 1
    for parent, kind, name, octets in (
        (PARENT, "piece", "b", sealed),
        (PARENT, "wal", "a", sealed),
        (bytes(32), "piece", "a", sealed),
        (PARENT, "piece", "a", sealed[:-1]),
        (PARENT, "piece", "a", bytes(changed)),
    ):
        with pytest.raises(IntegrityError):
            open_object(parent, kind, name, octets)


def test_a_piece_that_opens_but_is_another_one_is_refused() -> None:
    name = piece_name(PARENT, b"one")
    assert open_piece(PARENT, name, seal_object(PARENT, "piece", name, b"one")) == b"one"
    with pytest.raises(IntegrityError):
        open_piece(PARENT, name, seal_object(PARENT, "piece", name, b"two"))


def manifest(number: int, line: str = "a", week: str = "w", packs: int = 10) -> Manifest:
    tree = Tree("packs", [], [File("00000001.pack", packs, [Extent(bytes([number]), 0, packs)])])
    start = f"0000000100000000{number:08X}"
    return Manifest(
        version=1,
        id=f"{number:032x}",
        line=line,
        created_ms=number * 100,
        finished_ms=number * 100 + 50,
        incremental=number > 1,
        program="",
        config="",
        database=Database(15, "", "p", start, start),
        trees=[tree],
        keys=KeyPart(week, 0, 1, [b""], Tree("wraps", [], [])),
        tombstone=number,
        tombstone_digest=bytes([number]),
        bytes_total=0,
        bytes_shipped=0,
        objects_shipped=0,
    )


def test_keys_come_from_the_backup_itself_while_they_live_and_else_from_the_newest_that_opens() -> None:
    """D3: an old backup takes the newest keys, in which what was destroyed since is missing."""
    old, middle, new = manifest(1, week="dead"), manifest(2, week="w2"), manifest(3, week="w3")
    own = choose([old, middle, new], {"w2", "w3"}, middle.id)
    assert (own.slots.id, own.wraps.id, own.own_keys) == (middle.id, new.id, True)
    borrowed = choose([old, middle, new], {"w2", "w3"}, old.id)
    assert (borrowed.slots.id, borrowed.wraps.id, borrowed.own_keys) == (new.id, new.id, False)
    with pytest.raises(NotFoundError) as caught:
        choose([old], set(), old.id)
    assert caught.value.code == "no_keys"


def test_a_moment_needs_a_backup_before_and_one_after_it() -> None:
    first, second = manifest(1), manifest(2, packs=30)
    found = choose([first, second], {"w"}, to_ms=180)
    assert (found.rows.id, found.until.id) == (first.id, second.id)
    assert joined_packs(found).files[0].size == 30
    for moment in (120, 250, 50):
        with pytest.raises(NotFoundError):
            choose([first, second], {"w"}, to_ms=moment)


def test_keys_of_another_life_of_the_node_are_never_taken() -> None:
    with pytest.raises(NotFoundError):
        choose([manifest(1, week="dead"), manifest(2, line="b")], {"w"}, f"{1:032x}")


def test_segments_are_counted_across_the_end_of_a_logical_file() -> None:
    found = segments("0000000100000000000000FE", "000000010000000100000001")
    assert found == [
        "0000000100000000000000FE",
        "0000000100000000000000FF",
        "000000010000000100000000",
        "000000010000000100000001",
    ]
    for ends in (("0000000100000000000000FE", "000000020000000100000001"), (found[1], found[0]), ("x", "y")):
        with pytest.raises(IntegrityError):
            segments(*ends)


def test_what_was_destroyed_is_told_once_and_by_line() -> None:
    first = Tombstone("a", 1, b"", 0, [5, 2, 9, 1], [(b"t", b"p")])
    second = Tombstone("b", 1, b"", 0, [7, 1], [(b"t", b"p"), (b"t", b"")])
    assert owners_of([first, second]) == [(b"t", b"p"), (b"t", b"")]
    assert slots_erased([first, second], "a") == [(5, 2), (9, 1)]
    assert missing_after([(first, bytes([1]))], [manifest(1)]) == ""
    assert "tombstone 2" in missing_after([(first, bytes([1]))], [manifest(1), manifest(2)])
    assert missing_after([(first, bytes([9]))], [manifest(1)])


@given(st.sets(st.integers(0, 200)))
def test_runs_of_numbers_say_the_same_as_the_numbers(numbers: set[int]) -> None:
    written = runs(list(numbers))
    pairs = zip(written[::2], written[1::2], strict=True)
    assert [n for first, count in pairs for n in range(first, first + count)] == sorted(numbers)


def test_slots_tell_what_was_overwritten(tmp_path: Path) -> None:
    heard: list[int] = []
    with ErasableSlots(tmp_path / "s", 8) as slots:
        slots.write_many([bytes([n + 1]) * 8 for n in range(6)])
        slots.on_erase = heard.extend
        slots.erase_many([1, 2, 4])
        assert sorted(heard) == [1, 2, 4]
        assert slots.erased(0, 100) == [1, 2, 4, 1]
        assert slots.dump(0, 10_000) == (tmp_path / "s").read_bytes()
        assert slots.dump(64 + 8, 8) == bytes(8)


BAD_NAMES = ("../a", "/a", "a//b", "a/../b", "", "a.new", "a\n", "é", "a" * 201, "a/./b", ".a")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_leave_the_target_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        check_name(name)


@pytest.mark.parametrize("target", ["s3://", "s3://A/b", "s3://bucket/../x y", "s3:///x"])
def test_a_bucket_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_target(target)
    assert caught.value.code == "backup_target"


def test_credentials_that_are_none_are_refused_without_being_shown() -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_target("s3://bucket/x", credentials=b"hunter2")
    assert "hunter2" not in caught.value.public_text


def test_files_come_back_as_they_went_and_never_outside_their_directory(tmp_path: Path) -> None:
    async def scenario() -> None:
        target = DirectoryTarget(tmp_path / "target")
        shipper = Shipper(target, PARENT, lambda piece: f"data/{piece}", set(), deflate=True)
        builder = TreeBuilder("t", shipper, 1000)
        contents = {"a/empty": b"", "a/small": b"x" * 10, "b/large": bytes(range(256)) * 20, "c": b"x" * 10}
        for name, octets in contents.items():
            await builder.whole(name, octets)
        tree = await builder.finish()
        await shipper.finish()
        fetcher = Fetcher(target, PARENT, lambda piece: f"data/{piece}")
        await fetcher.write(tree, tmp_path / "out", None)
        assert {n: (tmp_path / "out" / n).read_bytes() for n in contents} == contents
        large = next(file for file in tree.files if file.path == "b/large")
        assert await fetcher.read(large, 990, 30) == contents["b/large"][990:1020]
        there = {path.name for path in (tmp_path / "target/data").iterdir()}
        again = Shipper(target, PARENT, lambda piece: f"data/{piece}", there, deflate=True)
        await TreeBuilder("t", again, 1000).whole("b/large", contents["b/large"])
        assert again.objects_shipped == 0
        for evil in ("../x", "/etc/x", "a/../../x"):
            with pytest.raises(IntegrityError):
                await fetcher.write(Tree("t", [], [File(evil, 0, [])]), tmp_path / "out2", None)

    asyncio.run(scenario())


def test_what_is_destroyed_in_a_directory_is_overwritten_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        target = DirectoryTarget(tmp_path)
        await target.put("weeks/a/key", b"secret" * 10)
        with (tmp_path / "weeks/a/key").open("rb") as watched:
            await target.destroy("weeks/a/key")
            assert watched.read() == bytes(60)
        await target.destroy("weeks/a/key")
        with pytest.raises(NotFoundError):
            await target.get("weeks/a/key")

    asyncio.run(scenario())


def test_a_configuration_travels_without_secrets_and_places_of_this_machine() -> None:
    config = Config(
        listen=ListenConfig(address="0.0.0.0", base_port=3000),
        tls=TlsConfig("/etc/cert", "/etc/key"),
        backup=BackupConfig(target="/mnt/x"),
        mx=MxConfig(greeting_delay_seconds=1.5),
        relay=RelayConfig(retry_seconds=(1, 2), smarthost='quo"te\\d', allow_private_addresses=True),
    )
    read = msgspec.toml.decode(portable_config(config), type=Config)
    assert read == msgspec.structs.replace(config, tls=TlsConfig(), backup=BackupConfig())


def test_the_archive_command_quotes_the_place_for_the_shell_and_the_server() -> None:
    command = archive_command(Path("/a b/100%/it's"))
    assert "'/a b/100%%/it'\\''s/%f'" in command
