"""`postkeep-verify DIR`: the checks from the command line. Exit code 0: clean, 1: findings, 2: unusable."""

import argparse
import datetime as dt
import json
import os
import sys
from importlib import resources
from pathlib import Path

from postkeep_verifier.audit import Audit
from postkeep_verifier.note import ED25519, NoteError, parse_key

LANGUAGES = ("en", "zh-CN")


def main(arguments: list[str] | None = None) -> int:
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
        audit = _audit(given)
        audit.check(given.directory, given.known)
    except (NoteError, OSError) as error:
        if given.json:
            print(json.dumps({"ok": False, "unusable": str(error)}))
        else:
            print("\n".join(words["unusable"][n].format(detail=error) for n in languages), file=sys.stderr)
        return 2
    if given.json:
        faults = [{"kind": fault.kind, "index": fault.entry, **fault.values} for fault in audit.findings]
        first = min((fault.entry for fault in audit.findings if fault.entry is not None), default=None)
        head = {"ok": not faults, "origin": audit.origin, "first_bad_index": first}
        print(json.dumps({**head, **audit.figures, "findings": faults}, ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(_lines(audit, words, number)) for number in languages))
    return 1 if audit.findings else 0


def _audit(given: argparse.Namespace) -> Audit:
    keys = sorted(map(parse_key, given.key), key=lambda key: key.kind)
    witnesses = [parse_key(text) for text in given.witness]
    kinds = [key.kind for key in keys]
    if len({key.name for key in keys}) != 1 or kinds[0] != ED25519 or len(set(kinds)) < len(kinds):
        raise NoteError("--key: one Ed25519 key of the log, and at most one ML-DSA-44 key of the same name")
    count = len({key.name for key in witnesses})
    quorum = count if given.quorum is None else given.quorum
    if not 0 <= quorum <= count:
        raise NoteError(f"--quorum {quorum}, with {count} witnesses")
    return Audit(keys[0].name, keys, witnesses, quorum, given.jobs)


def _lines(audit: Audit, words: dict[str, list[str]], number: int) -> list[str]:
    """Write the report in one language."""
    texts, figures = {name: pair[number] for name, pair in words.items()}, audit.figures
    own = ", ".join(sorted(name[4:] for name in figures if name.startswith("own ")))
    moment = dt.datetime.fromtimestamp(figures["witnessed_at"], dt.UTC).isoformat(" ", "seconds")
    told = [name for name in words if figures[name] or name == "entries"]
    lines = [texts["title"].format(origin=audit.origin), ""]
    lines += [texts[name].format(n=figures[name], what=own, time=moment, more=figures) for name in told]
    lines += ["", texts["bad" if audit.findings else "good"].format(n=len(audit.findings))]
    for fault in audit.findings:
        what = str(fault.values.get("what", ""))
        values = fault.values | {"index": fault.entry, "what": texts.get(what, what)}
        lines.append("- " + texts[fault.kind].format(**values))
    return lines
