"""Merkle trees over SHA-256: roots, proofs and their verification.

Source: RFC 9162 section 2.1 (the trees of RFC 6962 section 2.1). A *node* (level, index) is the root of the
perfect subtree over the leaves from index * 2**level up to (index + 1) * 2**level; whoever can give nodes
(tiles in a store, a list in a test) can have roots and proofs of any size of tree.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from postkeep.base.errors import IntegrityError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
PROOF_HASHES_MAX: Final = 128  # hashes; a tree of 2**63 leaves needs at most 64 for either proof

Nodes = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Hash one entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Hash entries as leaves, in order."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into the one above them."""
    return sha256(b"\x01" + left + right).digest()


def parents(row: Sequence[bytes]) -> list[bytes]:
    """Hash a row of an even number of neighbours into the row above it."""
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]


def perfect_root(row: Sequence[bytes]) -> bytes:
    """Return the root over a row whose length is a power of two."""
    while len(row) > 1:
        row = parents(row)
    return row[0]


class Frontier:
    """The roots of a growing tree's perfect subtrees: all it takes to append and to know the root."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: dict[int, bytes] = {}

    def copy(self) -> "Frontier":
        """Return a frontier that grows on its own from here."""
        other = Frontier()
        other.size = self.size
        other._peaks = self._peaks.copy()
        return other

    def append(self, hashes: Iterable[bytes], level: int = 0) -> None:
        """Add leaf hashes at the end, or nodes of a level while the tree consists of whole ones."""
        if self.size & ((1 << level) - 1):
            raise ValueError("the tree does not consist of whole nodes of that level")
        row = list(hashes)
        added = len(row) << level
        while row:
            if self.size >> level & 1:
                row.insert(0, self._peaks.pop(level))
            if len(row) & 1:
                self._peaks[level] = row.pop()
            row = parents(row)
            level += 1
        self.size += added

    def root(self) -> bytes:
        """Return the root of the tree as it stands."""
        accumulated = b""
        for level in sorted(self._peaks):
            peak = self._peaks[level]
            accumulated = node_hash(peak, accumulated) if accumulated else peak
        return accumulated or EMPTY_ROOT


def _split(size: int) -> int:
    """Return the greatest power of two below a size of two or more."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_root(begin: int, end: int, node: Nodes) -> bytes:
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(size)
    return node_hash(_range_root(begin, middle, node), _range_root(middle, end, node))


def tree_root(size: int, node: Nodes) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return _range_root(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Nodes) -> list[bytes]:
    """Prove that leaf `index` is in the tree of `size` leaves (RFC 9162 section 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in the tree")
    begin, end = 0, size
    proof = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(begin, middle, node))
            begin = middle
    proof.reverse()
    return proof


def consistency_proof(old: int, new: int, node: Nodes) -> list[bytes]:
    """Prove that the tree of `new` leaves extends the one of `old` leaves (RFC 9162 section 2.1.4.1)."""
    if not 0 <= old <= new:
        raise ValueError("a tree extends only smaller ones")
    if old in (0, new):
        return []
    begin, end = 0, new
    proof = []
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(begin, middle, node))
            begin = middle
    if begin:
        proof.append(_range_root(begin, end, node))
    proof.reverse()
    return proof


def verify_inclusion(index: int, leaf: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check an inclusion proof (RFC 9162 section 2.1.3.2); raise IntegrityError if it proves nothing."""
    _check_shape(proof)
    if not 0 <= index < size:
        raise IntegrityError("the inclusion proof is for a leaf outside the tree")
    computed = leaf
    for step, on_left in _climb(index, size - 1, proof):
        computed = node_hash(step, computed) if on_left else node_hash(computed, step)
    if not hmac.compare_digest(computed, root):
        raise IntegrityError("the inclusion proof does not lead to the root")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check a consistency proof (RFC 9162 section 2.1.4.2); raise IntegrityError if it proves nothing."""
    _check_shape(proof)
    if not 0 <= old_size <= new_size:
        raise IntegrityError("the tree has shrunk")
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or not hmac.compare_digest(old_root, expected):
            raise IntegrityError("the trees differ")
        return
    steps = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not steps:
        raise IntegrityError("the consistency proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_computed = new_computed = steps[0]
    for step, on_left in _climb(position, last, steps[1:]):
        if on_left:
            old_computed = node_hash(step, old_computed)
            new_computed = node_hash(step, new_computed)
        else:
            new_computed = node_hash(new_computed, step)
    if not hmac.compare_digest(old_computed, old_root):
        raise IntegrityError("the consistency proof does not lead to the old root")
    if not hmac.compare_digest(new_computed, new_root):
        raise IntegrityError("the consistency proof does not lead to the new root")


def _climb(position: int, last: int, steps: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Walk from a node up to the root: each step, and whether it joins on the left."""
    for step in steps:
        if last == 0:
            raise IntegrityError("the proof is too long")
        on_left = bool(position & 1) or position == last
        yield step, on_left
        if on_left:
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        position >>= 1
        last >>= 1
    if last:
        raise IntegrityError("the proof is too short")


def _check_shape(proof: Sequence[bytes]) -> None:
    if len(proof) > PROOF_HASHES_MAX or any(len(step) != HASH_BYTES for step in proof):
        raise IntegrityError("the proof is malformed")
