"""Merkle trees over SHA-256. Source: RFC 9162 section 2.1 (the trees of RFC 6962)."""

from collections.abc import Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash one entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into the one above them."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(row: Sequence[bytes]) -> bytes:
    """Return the root over a row whose length is a power of two."""
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


def root_of(rows: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root of a tree whose last leaves are `rows[0]`. Before them stand the subtrees of `rows[1]`,
    given by their roots, each of 256 leaves; before them those of `rows[2]`, each of 256 * 256; and so on."""
    root = b""
    for row in rows:
        end = len(row)
        while end:
            begin = end & (end - 1)  # from here on: the smallest perfect subtree, which is the rightmost
            peak = perfect_root(row[begin:end])
            root, end = (node_hash(peak, root) if root else peak), begin
    return root or EMPTY_ROOT


def root_from_inclusion(index: int, leaf: bytes, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to (PATH of RFC 9162 section 2.1.3.1); None for a wrong length."""
    if size <= 1 or not proof:
        return leaf if (index, size, len(proof)) == (0, 1, 0) else None
    half = 1 << (size - 1).bit_length() - 1  # the leaves of the left subtree
    left = index < half
    start, width = (0, half) if left else (half, size - half)
    below, beside = root_from_inclusion(index - start, leaf, width, proof[:-1]), proof[-1]
    if below is None:
        return None
    return node_hash(below, beside) if left else node_hash(beside, below)
