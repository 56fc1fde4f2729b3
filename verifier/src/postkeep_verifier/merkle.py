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


class Frontier:
    """A growing tree, as the roots of its perfect subtrees: enough to append and to know the root."""

    def __init__(self, peaks: Sequence[tuple[int, bytes]] = ()) -> None:
        self.peaks = list(peaks)
        """Level and root, from the largest subtree to the smallest."""

    def add(self, level: int, node: bytes) -> None:
        """Append a perfect subtree of 2**level leaves; no smaller one may stand at the end."""
        while self.peaks and self.peaks[-1][0] == level:
            node = node_hash(self.peaks.pop()[1], node)
            level += 1
        self.peaks.append((level, node))

    def root(self, leaves: Sequence[bytes] = ()) -> bytes:
        """Return the root, with more leaves at the end that are not kept."""
        grown = Frontier(self.peaks)
        for leaf in leaves:
            grown.add(0, leaf)
        if not grown.peaks:
            return EMPTY_ROOT
        accumulated = grown.peaks[-1][1]
        for _, peak in reversed(grown.peaks[:-1]):
            accumulated = node_hash(peak, accumulated)
        return accumulated


def root_from_inclusion(index: int, leaf: bytes, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to (RFC 9162 section 2.1.3.2); None for a wrong length."""
    if not 0 <= index < size:
        return None
    position, last, root = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return None
        if position & 1 or position == last:
            root = node_hash(step, root)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = node_hash(root, step)
        position, last = position >> 1, last >> 1
    return root if last == 0 else None
