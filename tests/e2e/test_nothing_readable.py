"""A raw search of everything on the disk finds no word of anyone's mail (TM-1) - and finds it unsealed."""

import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import node_process
from tests.corpus import Sample, messages
from tests.node_process import Node, new_node

MESSAGES = 1000
PASSWORD = "zebrafish-carousel-82"
LOCAL_PARTS = ("quixotic.wanderer", "marmalade.jones")
MAILBOX = "Perihelion plans"

START = 8
"""Every word searched for has at least so many characters."""
RUN = re.compile(rb"[A-Za-z0-9._ -]{8,}")

UNSEALED = Path(__file__).with_name("unsealed.py")
"""Starts a node whose ciphers do nothing: to show that the search would have found."""


def everything(directory: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def search(directory: Path, words: list[bytes]) -> dict[bytes, str]:
    """Return the words found (in any case), each with the first file it was found in.

    A word can only lie within a run of letters, so only runs are looked into, by their first characters:
    trying thousands of words on every octet of every file would take minutes.
    """
    by_start: dict[bytes, list[bytes]] = {}
    for word in words:
        by_start.setdefault(word[:START], []).append(word)
    found: dict[bytes, str] = {}
    for path, data in everything(directory):
        for run in RUN.findall(data):
            lower = run.lower()
            for at in range(len(lower) - START + 1):
                for word in by_start.get(lower[at : at + START], ()):
                    if lower.startswith(word, at):
                        found.setdefault(word, str(path.relative_to(directory)))
    return found


def fill(node: Node, samples: list[Sample]) -> list[bytes]:
    """Put mail, people and a mailbox name into a node; return every word that must not be readable."""
    node.tenant("sealed.example")
    people = [f"{local}@sealed.example" for local in LOCAL_PARTS]
    for person in people:
        node.user(person, PASSWORD)
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
        for number, sample in enumerate(samples):
            client.sendmail("penelope.outside@elsewhere.example", [people[number % 2]], sample.data)
    words = {word.lower() for sample in samples for word in sample.canaries}
    words |= {PASSWORD, MAILBOX.lower(), "penelope.outside", *LOCAL_PARTS}
    assert all(RUN.fullmatch(word.encode()) for word in words), "a word that the search could not find"
    return sorted(word.encode() for word in words)


def settle(node: Node) -> None:
    """Make PostgreSQL write what it holds in memory, then stop."""
    node.stop()


@pytest.mark.e2e
def test_no_word_of_a_thousand_messages_is_found_on_the_disk() -> None:
    samples = list(messages(MESSAGES, seed=11))
    with new_node() as node:
        words = fill(node, samples)
        read_and_file(node)
        settle(node)
        assert len(words) > MESSAGES
        assert search(node.directory, words) == {}


@pytest.mark.e2e
def test_the_same_search_finds_the_words_when_nothing_is_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_process, "PROGRAM", [sys.executable, str(UNSEALED)])
    samples = list(messages(60, seed=12))
    with new_node() as node:
        words = fill(node, samples)
        settle(node)
        found = search(node.directory, words)
        missing = [word for word in words if word not in found]
        # The password is hashed and the mailbox was never made; all else must have been seen.
        assert set(missing) <= {PASSWORD.encode(), MAILBOX.lower().encode()}, missing


def read_and_file(node: Node) -> None:
    """Use IMAP as a person does, so that what reading leaves behind is searched too."""
    config = f'user = "{LOCAL_PARTS[0]}@sealed.example:{PASSWORD}"\ncacert = "{node.ca}"\nsilent\n'
    for request in (
        f'CREATE "{MAILBOX}"',
        'LIST "" *',
    ):
        subprocess.run(
            ["curl", "--config", "-", f"imaps://localhost:{node.ports['imaps']}/", "--request", request],
            input=config, text=True, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    for path in ("INBOX;UID=1", "INBOX;UID=2"):
        subprocess.run(
            ["curl", "--config", "-", f"imaps://localhost:{node.ports['imaps']}/{path}"],
            input=config, text=True, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
