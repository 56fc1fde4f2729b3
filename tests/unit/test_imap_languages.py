"""All that the IMAP face says is there in every language, and all goes through it (RFC 5255)."""

import ast
from pathlib import Path

import pytest

from postkeep.base import errors
from postkeep.base.errors import PostkeepError
from postkeep.faces import imap
from postkeep.faces.imap.languages import CHINESE, DEFAULT, ENGLISH, LANGUAGES, choose, translate
from postkeep.faces.imap.replies import reply_to_error
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap.errors import ImapSyntaxError

_BEFORE_A_LANGUAGE = {"session.py", "replies.py", "connection.py"}
"""Where it is said, and where a client is turned away before it can choose."""


@pytest.mark.parametrize("text", list(Text))
def test_every_text_is_there_in_chinese(text: Text) -> None:
    said = translate(text, CHINESE)
    assert said != text
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said)
    assert translate(text, ENGLISH) == translate(text, DEFAULT) == text


def test_a_command_and_an_error_are_told_in_the_language_too() -> None:
    assert translate(completed("FETCH"), CHINESE) == "FETCH 已完成。"
    assert "命令无效" in reply_to_error(b"a", ImapSyntaxError("Expected a space."), CHINESE).decode()
    for known in (kind for kind in PostkeepError.__subclasses__() if kind.__module__ == errors.__name__):
        said = reply_to_error(b"a", known("detail"), CHINESE).decode()
        assert any("\u4e00" <= letter <= "\u9fff" for letter in said), known
        assert "detail" not in said


@pytest.mark.parametrize(
    ("ranges", "chosen"),
    [
        (["zh-CN"], CHINESE),
        (["ZH"], CHINESE),
        (["zh-Hans-CN"], CHINESE),
        (["de", "EN-gb"], ENGLISH),
        (["i-default"], DEFAULT),
        (["default"], DEFAULT),
        (["*"], DEFAULT),
        (["de", "fr-FR"], None),
        ([""], None),
        (["z"], None),
    ],
)
def test_the_first_range_that_fits_is_taken(ranges: list[str], chosen: str | None) -> None:
    assert choose(ranges) == chosen
    assert chosen is None or chosen in LANGUAGES


def test_no_handler_goes_past_the_language() -> None:
    for path in Path(imap.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr == "status"
            and isinstance(node.value, ast.Name)
            and node.value.id == "responses"
        ]
        assert not calls or path.name in _BEFORE_A_LANGUAGE, path.name
