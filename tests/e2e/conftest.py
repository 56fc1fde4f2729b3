"""One running node for all end-to-end tests of a worker; tests make companies of their own in it."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.node_process import Node, new_node

_numbers = itertools.count()


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with new_node(config="[relay]\nallow_private_addresses = true\n") as running:
        yield running


@pytest.fixture
def domain(node: Node) -> str:
    """A fresh company's domain."""
    name = f"company{next(_numbers)}.example"
    node.tenant(name)
    return name


@pytest.fixture
def person(node: Node, domain: str) -> Callable[[str], tuple[str, str]]:
    """Make a person in the fresh company; returns address and password."""

    def make(local: str) -> tuple[str, str]:
        address, password = f"{local}@{domain}", f"pass word {local} 1"
        node.user(address, password)
        return address, password

    return make
