"""`postkeep-verify DIR`: the checks from the command line. Exit code 0: clean, 1: findings, 2: unusable."""

import argparse
import datetime as dt
import json
import os
import sys
from importlib import resources
from pathlib import Path

from postkeep_verifier.audit import Report, Trust, UnusableError, audit
from postkeep_verifier.note import ED25519, Key, NoteError, parse_key

LANGUAGES = ("en", "zh-CN")
FIGURES = ["entries", "sources", "lost", "witnesses", "tenants", "anchors", "tickets", "releases", "accesses"]
FIGURES += ["privileged", "grants", "open"]
SECOND = {"privileged": "commands", "grants": "by policy"}
"""The figures that stand in a sentence with another one."""


def main() -> None:
    """Run the program."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Check what the arguments say, print the report, return the exit code."""
    parser = argparse.ArgumentParser("postkeep-verify", description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument("directory", type=Path, help="a copy of state/ledger, or what `ledger export` wrote")
    parser.add_argument("--key", action="append", required=True, help="the log's key, name+id+base64; repeat")
    parser.add_argument("--witness", action="append", default=[], help="a witness's key; repeat")
    parser.add_argument("--quorum", type=int, help="how many witnesses must have signed (default: all given)")
    parser.add_argument("--known", type=Path, action="append", default=[], help="a head kept elsewhere")
    parser.add_argument("--lang", choices=LANGUAGES, help="one language only (default: both)")
    parser.add_argument("--json", action="store_true", help="answer with JSON")
    parser.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    given = parser.parse_args(arguments)
    words = json.loads(resources.files("postkeep_verifier").joinpath("words.json").read_text("utf-8"))
    languages = [LANGUAGES.index(given.lang)] if given.lang else [0, 1]
    try:
        report = audit(given.directory, _trust(given), given.known, given.jobs)
    except (UnusableError, NoteError, OSError) as error:
        if given.json:
            print(json.dumps({"ok": False, "unusable": str(error)}))
        else:
            print("\n".join(words["unusable"][n].format(detail=error) for n in languages), file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(_values(report), ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(_lines(report, words, number)) for number in languages))
    return 1 if report.findings else 0


def _trust(given: argparse.Namespace) -> Trust:
    keys: list[Key] = sorted(map(parse_key, given.key), key=lambda key: key.kind)
    witnesses = [parse_key(text) for text in given.witness]
    kinds = [key.kind for key in keys]
    if len({key.name for key in keys}) != 1 or kinds[0] != ED25519 or len(set(kinds)) < len(kinds):
        raise NoteError("--key: one Ed25519 key of the log, and at most one ML-DSA-44 key of the same name")
    names = {key.name for key in witnesses}
    quorum = len(names) if given.quorum is None else given.quorum
    if not 0 <= quorum <= len(names):
        raise NoteError(f"--quorum {quorum}, with {len(names)} witnesses")
    return Trust(keys, witnesses, quorum)


def _lines(report: Report, words: dict[str, list[str]], number: int) -> list[str]:
    """Write the report in one language."""
    figures = report.figures

    def say(name: str, **values: object) -> str:
        return words[name][number].format(**values)

    lines = [say("title", origin=report.origin), ""]
    for name in FIGURES:
        if figures[name] or name == "entries":
            lines += [say(name, n=figures[name], m=figures[SECOND.get(name, name)])]
    own = sorted(name.removeprefix("own ") for name in figures if name.startswith("own "))
    if own:
        lines.append(say("own", n=sum(figures[f"own {name}"] for name in own), what=", ".join(own)))
    if figures["witnessed_at"]:
        moment = dt.datetime.fromtimestamp(figures["witnessed_at"], dt.UTC).isoformat(" ", "seconds")
        lines.append(say("witnessed_at", time=moment))
    lines += ["", say("bad", n=len(report.findings)) if report.findings else say("good")]
    for fault in report.findings:
        what = str(fault.values.get("what", ""))
        values = fault.values | {"index": fault.entry, "what": words[what][number] if what in words else what}
        lines.append("- " + say(fault.kind, **values))
    return lines


def _values(report: Report) -> dict[str, object]:
    faults = [{"kind": f.kind, "index": f.entry, **f.values} for f in report.findings]
    first = min((f.entry for f in report.findings if f.entry is not None), default=None)
    head = {"ok": not faults, "origin": report.origin, "first_bad_index": first}
    return {**head, **report.figures, "findings": faults}
