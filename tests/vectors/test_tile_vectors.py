"""The paths, widths and bundles that C2SP tlog-tiles gives as examples (A1)."""

from pathlib import Path

import pytest

from postkeep.crypto.merkle import leaf_hashes, perfect_root
from postkeep.stores.ledger_tiles import ENTRIES, TileFiles, encode_entries, partial_width, tile_name
from postkeep.stores.ledger_tree import TiledTree


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (0, 0, 256, "tile/0/000"),
        (0, 999, 256, "tile/0/999"),
        (0, 1000, 256, "tile/0/x001/000"),
        (1, 1234067, 9, "tile/1/x001/x234/067.p/9"),
        (ENTRIES, 273, 112, "tile/entries/273.p/112"),
    ],
)
def test_paths(level: int | str, index: int, width: int, path: str) -> None:
    assert tile_name(level, index, width) == path


def test_a_tree_of_seventy_thousand_has_the_tiles_of_the_example() -> None:
    assert 70_000 // 256 == 273
    assert [partial_width(70_000, level) for level in range(4)] == [112, 17, 1, 0]
    assert [partial_width(256, level) for level in range(3)] == [0, 1, 0]


def test_a_tree_of_256_is_one_full_tile_and_one_of_width_one(tmp_path: Path) -> None:
    entries = [b"%d" % number for number in range(256)]
    tree = TiledTree(TileFiles(tmp_path))
    tree.load(0, [])
    tree.extend(entries)
    tree.write_partials(256)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"tile/0/000", "tile/1/000.p/1", "tile/entries/000"}
    leaves = leaf_hashes(entries)
    assert (tmp_path / "tile/0/000").read_bytes() == b"".join(leaves)
    assert (tmp_path / "tile/1/000.p/1").read_bytes() == perfect_root(leaves)
    assert (tmp_path / "tile/entries/000").read_bytes() == encode_entries(entries)


def test_a_bundle_has_each_entry_after_its_length_in_two_octets() -> None:
    assert encode_entries([b"", b"ab", bytes(258)]) == b"\0\0" + b"\0\2ab" + b"\1\2" + bytes(258)
