"""The command line's texts and options."""

import re
import string
from pathlib import Path

import pytest

from postkeep.node import doctor
from postkeep.node.cli import hoist, texts
from postkeep.node.cli.output import CommandError, parse_size, size
from postkeep.node.doctor.texts import CHECKS, TEXTS


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("key", sorted(texts.all_texts()))
def test_every_text_exists_in_both_languages_with_the_same_values(key: str) -> None:
    english, chinese = texts.all_texts()[key]
    assert english
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert _names(english) == _names(chinese)


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_every_finding_of_the_doctor_has_both_languages(key: str) -> None:
    english, chinese = TEXTS[key]
    for position in (0, 1):
        assert _names(english[position]) == _names(chinese[position])
        assert bool(english[position]) == bool(chinese[position])


def test_every_check_of_the_doctor_has_a_name_in_chinese() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(doctor.__file__).parent.glob("*.py"))
    used = set(re.findall(r'\b(?:ok|warn|bad)\(\s*"([a-z ]+)"', sources))
    assert len(used) > 15
    assert used == set(CHECKS)


def test_the_language_follows_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    texts.choose()
    assert texts.text("done") == texts.all_texts()["done"][1]
    texts.choose("en")
    assert texts.text("done") == "Done."


def test_global_options_may_stand_anywhere() -> None:
    assert hoist(["user", "list", "--data", "x", "--json"]) == ["--data", "x", "--json", "user", "list"]
    assert hoist(["--data=x", "user"]) == ["--data=x", "user"]
    assert hoist(["user", "--", "--data", "x"]) == ["user", "--", "--data", "x"]


def test_sizes_are_read_and_shown() -> None:
    assert parse_size("10G") == 10 * 2**30
    assert parse_size("512") == 512
    assert parse_size("none") is None
    assert size(10 * 2**30) == "10G"
    for wrong in ("", "G", "-1", "1.5G", "ten", "\uff110"):
        with pytest.raises(CommandError):
            parse_size(wrong)
