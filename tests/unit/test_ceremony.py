"""K10: at a ceremony each share is on the screen for its holder alone; a start asks for shares."""

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import pytest

from postkeep.crypto import shares
from postkeep.node.cli import ceremony
from postkeep.node.cli.output import CommandError
from postkeep.node.cli.texts import choose

NAMES = ["Ann", "Bob", "Cid"]


class People:
    """A screen with the people before it: what each sees is kept, what they answer follows from it."""

    def __init__(self, *, careless: bool = False, lines: Iterable[str] = ()) -> None:
        self.seen: list[list[str]] = [[]]
        self.careless = careless
        self.lines = deque(lines)

    def clear(self) -> None:
        self.seen.append([])

    def show(self, line: str = "", *, end: str = "\n") -> None:
        self.seen[-1].append(line)

    def ask(self, question: str) -> str:
        self.seen[-1].append(question)
        if self.lines:
            return self.lines.popleft()
        name = re.search(r"Name of holder (\d)", question)
        if name:
            return NAMES[int(name[1]) - 1]
        word = re.match(r"Word (\d+)", question)
        if word and self.careless:
            self.careless = False
            return "mistaken"
        return self.word(int(word[1])) if word else ""

    def word(self, number: int) -> str:
        """Look the word up on paper: the last screen that showed a grid."""
        return self.papers()[-1][number - 1]

    def papers(self) -> list[list[str]]:
        found = []
        for screen in self.seen:
            words = dict(re.findall(r"(\d+) ([a-z]{4,})", "\n".join(screen)))
            if len(words) == shares.WORDS_PER_SHARE:
                found.append([words[str(number)] for number in range(1, shares.WORDS_PER_SHARE + 1)])
        return found


@pytest.fixture(autouse=True)
def _english() -> None:
    choose("en")


def test_each_share_is_on_a_screen_of_its_own_and_gone_before_the_next() -> None:
    people = People()
    held = ceremony.hold(people, 2, 3, ())
    papers = [" ".join(words) for words in people.papers()]
    assert len(papers) == 3
    assert [holder.name for holder in held.roster.holders] == NAMES
    assert shares.combine(held.roster, papers[:2]) == held.secret
    for number, screen in enumerate(people.seen):
        words = "\n".join(screen)
        shown = set(words.split())
        assert sum(set(paper.split()) <= shown for paper in papers) <= 1, number
        if "Press Enter" in words or "Check code" in words:
            assert not re.search(r"Word \d+:", words)  # they type from paper, not from the screen


def test_a_holder_who_mistypes_sees_the_share_again() -> None:
    people = People(careless=True)
    held = ceremony.hold(people, 2, 3, NAMES)
    papers = [" ".join(words) for words in people.papers()]
    assert len(papers) == 4
    assert papers[0] == papers[1]
    assert shares.combine(held.roster, papers[2:]) == held.secret


def test_shares_are_asked_for_until_there_are_enough_and_wrong_ones_are_named() -> None:
    secret = b"\x03" * 32
    made = shares.split(secret, 2, 3)
    roster = shares.roster_of(made, NAMES)
    typo = made[1].split()
    typo[9], typo[10] = typo[10], typo[9]
    lines = [*made[0].split(), made[0], " ".join(typo), "nonsense", made[2]]
    people = People(lines=lines)
    assert ceremony.gather(people, roster) == secret
    said = "\n".join(line for screen in people.seen for line in screen)
    assert "Ann's share was given twice" in said
    assert "Bob's (number 2)" in said
    assert "Word 1 is not one of a share's words" in said
    assert made[0].split()[20] not in said


def test_files_are_for_one_holder_each_and_never_written_over(tmp_path: Path) -> None:
    held = ceremony.write_files(tmp_path / "out", 2, 3, NAMES)
    files = sorted((tmp_path / "out").iterdir())
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600] * 3
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert shares.combine(held.roster, [path.read_text() for path in files]) == held.secret
    with pytest.raises(CommandError):
        ceremony.write_files(tmp_path / "out", 2, 3, NAMES)


def test_the_grid_goes_down_and_then_across() -> None:
    lines = ceremony.grid([f"word{number}" for number in range(1, 34)])
    assert len(lines) == 11
    assert lines[0].split() == ["1", "word1", "12", "word12", "23", "word23"]
