"""Merkle trees against an independent implementation, on random trees, and proofs that prove nothing (A1)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from postkeep.base.errors import IntegrityError
from postkeep.crypto import merkle

entries_lists = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def nodes_of(entries: list[bytes]) -> merkle.Nodes:
    leaves = merkle.leaf_hashes(entries)
    return lambda level, index: merkle.perfect_root(leaves[index << level : (index + 1) << level])


def test_ten_thousand_random_trees_have_the_roots_and_paths_of_an_independent_implementation() -> None:
    draw = random.Random(6962)
    for _ in range(250):
        entries = [draw.randbytes(draw.randrange(30)) for _ in range(40)]
        node = nodes_of(entries)
        other = InmemoryTree(algorithm="sha256")
        frontier = merkle.Frontier()
        for size, entry in enumerate(entries, 1):
            other.append_entry(entry)
            frontier.append([merkle.leaf_hash(entry)])
            root = merkle.tree_root(size, node)
            assert root == other.get_root(size) == frontier.root()
            index = draw.randrange(size)
            proof = merkle.inclusion_proof(index, size, node)
            path = other.prove_inclusion(index + 1, size).serialize()["path"]
            assert [step.hex() for step in proof] == path[1:]
            merkle.verify_inclusion(index, merkle.leaf_hash(entries[index]), size, root, proof)
            old = draw.randrange(1, size + 1)
            proof = merkle.consistency_proof(old, size, node)
            merkle.verify_consistency(old, other.get_root(old), size, root, proof)


@settings(max_examples=200, deadline=None)
@given(entries_lists, st.lists(st.integers(1, 30), max_size=8))
def test_a_frontier_fed_in_batches_has_the_root_of_the_whole_tree(
    entries: list[bytes], batches: list[int]
) -> None:
    frontier = merkle.Frontier()
    position = 0
    for batch in [*batches, len(entries)]:
        part = entries[position : position + batch]
        frontier.append(merkle.leaf_hashes(part))
        position += len(part)
    assert frontier.size == len(entries)
    assert frontier.root() == merkle.tree_root(len(entries), nodes_of(entries))


@settings(max_examples=300, deadline=None)
@given(entries_lists, st.data())
def test_an_altered_inclusion_proof_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    size = len(entries)
    index = data.draw(st.integers(0, size - 1))
    root = merkle.tree_root(size, nodes_of(entries))
    proof = merkle.inclusion_proof(index, size, nodes_of(entries))
    leaf = merkle.leaf_hash(entries[index])
    change = data.draw(st.sampled_from(["bit", "drop", "add", "leaf", "root", "short", "outside"]))
    if change == "bit" and proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        proof[place] = bytes([proof[place][0] ^ 1]) + proof[place][1:]
    elif change == "drop" and proof:
        del proof[data.draw(st.integers(0, len(proof) - 1))]
    elif change == "add":
        proof.insert(data.draw(st.integers(0, len(proof))), bytes(32))
    elif change == "short" and proof:
        proof[0] = proof[0][:31]
    elif change == "root":
        root = bytes(32)
    elif change == "outside":
        index = size
    else:
        leaf = bytes(32)
    with pytest.raises(IntegrityError):
        merkle.verify_inclusion(index, leaf, size, root, proof)


@settings(max_examples=300, deadline=None)
@given(entries_lists, st.data())
def test_an_altered_consistency_proof_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    node = nodes_of(entries)
    new = len(entries)
    old = data.draw(st.integers(1, new))
    old_root, new_root = merkle.tree_root(old, node), merkle.tree_root(new, node)
    proof = merkle.consistency_proof(old, new, node)
    change = data.draw(st.sampled_from(["bit", "drop", "add", "old", "new", "shrunk"]))
    if change == "bit" and proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        proof[place] = bytes([proof[place][0] ^ 1]) + proof[place][1:]
    elif change == "drop" and proof:
        del proof[data.draw(st.integers(0, len(proof) - 1))]
    elif change == "add":
        proof.insert(data.draw(st.integers(0, len(proof))), bytes(32))
    elif change == "new":
        new_root = bytes(32)
    elif change == "shrunk":
        new, old = old - 1, new
    else:
        old_root = bytes(32)
    with pytest.raises(IntegrityError):
        merkle.verify_consistency(old, old_root, new, new_root, proof)


def test_every_tree_extends_the_empty_one_and_only_that_one_has_its_root() -> None:
    root = merkle.tree_root(3, nodes_of([b"a", b"b", b"c"]))
    merkle.verify_consistency(0, merkle.EMPTY_ROOT, 3, root, [])
    with pytest.raises(IntegrityError):
        merkle.verify_consistency(0, root, 3, root, [])


def test_proofs_are_made_only_for_leaves_and_sizes_that_exist() -> None:
    node = nodes_of([b"a", b"b"])
    with pytest.raises(ValueError, match="not in the tree"):
        merkle.inclusion_proof(2, 2, node)
    with pytest.raises(ValueError, match="extends"):
        merkle.consistency_proof(3, 2, node)
