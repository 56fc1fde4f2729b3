"""The program as an auditor meets it: keys, witnesses, companies' logs, languages, exit codes, its size."""

import ast
import base64
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from verifier.tests import made_ledger as made
from verifier.tests.conftest import Verify, kinds

import postkeep_verifier
from postkeep_verifier.cli import main

PACKAGE = Path(postkeep_verifier.__file__).parent
PROJECT = Path(__file__).parents[1]
TENANT = made.name_of(7)
LINES_MAX = 1_000  # as `wc -l` counts: with blank lines, comments and docstrings


def test_the_verifier_is_small_enough_to_be_read() -> None:
    assert sum(len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")) <= LINES_MAX


def test_the_verifier_imports_nothing_of_ours_and_one_package_of_others() -> None:
    imported = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
    assert imported - set(sys.stdlib_module_names) == {"postkeep_verifier", "cryptography"}


# --- keys and witnesses ---


def test_the_keys_must_be_those_of_the_log(tmp_path: Path, verify: Verify) -> None:
    made.write(tmp_path, made.long_story(20))
    other = made.vkey(made.ORIGIN, made.ED25519, made.WITNESS_KEY.public_key().public_bytes_raw())
    assert verify(tmp_path, keys=[other])[0] == 2
    elsewhere = made.vkey("other.example/log", made.ED25519, made.KEY.public_key().public_bytes_raw())
    assert verify(tmp_path, keys=[elsewhere])[0] == 2
    assert verify(tmp_path, keys=["rubbish"])[0] == 2
    assert verify(tmp_path, keys=made.KEYS[1:])[0] == 2
    assert verify(tmp_path, keys=made.KEYS[:1])[0] == 0


def test_a_newest_head_without_its_post_quantum_signature_is_not_believed(
    tmp_path: Path, verify: Verify
) -> None:
    made.write(tmp_path, made.long_story(20), post_quantum=False)
    assert verify(tmp_path)[0] == 2
    assert verify(tmp_path, keys=made.KEYS[:1])[0] == 0


def test_the_quorum_of_witnesses(tmp_path: Path, verify: Verify) -> None:
    made.write(tmp_path, made.long_story(20))
    code, answer = verify(tmp_path, "--witness", made.WITNESS_VKEY)
    assert code == 1
    assert kinds(answer) == [("quorum_missing", None)]
    assert verify(tmp_path, "--witness", made.WITNESS_VKEY, "--quorum", "0")[0] == 0
    assert verify(tmp_path, "--quorum", "1")[0] == 2
    made.write(tmp_path, made.long_story(20), witnessed_at=1_800_000_100)
    code, answer = verify(tmp_path, "--witness", made.WITNESS_VKEY)
    assert (code, answer["witnesses"], answer["witnessed_at"]) == (0, 1, 1_800_000_100)


def test_an_older_head_may_be_the_one_that_witnesses_have_signed(tmp_path: Path, verify: Verify) -> None:
    entries = made.write(tmp_path, made.long_story(20))
    older = made.root(made.leaves_of(entries[:50]))
    witnessed = tmp_path / "log" / "checkpoint.witnessed"
    witnessed.write_bytes(made.checkpoint(50, older, witnessed_at=1_800_000_100))
    assert verify(tmp_path, "--witness", made.WITNESS_VKEY)[0] == 0
    witnessed.write_bytes(made.checkpoint(50, bytes(32), witnessed_at=1_800_000_100))
    code, answer = verify(tmp_path, "--witness", made.WITNESS_VKEY)
    assert (code, kinds(answer)) == (1, [("rewritten", 0)])


# --- companies' own logs ---


def copies(entries: list[bytes]) -> list[bytes]:
    found = []
    for index, entry in enumerate(entries):
        fields = json.loads(entry)
        if fields.get("tenant") == TENANT and fields["event"] != "ledger.anchor":
            found.append(b'{"index":%d,"entry":%s}' % (index, entry))
    return found


def with_company(directory: Path) -> tuple[list[bytes], list[bytes]]:
    """Write an installation's ledger and a company's: anchored in the middle and at the end."""
    story = made.Story()
    for number in range(40):
        story.session(number + 1, number % 5)
        if number in (20, 39):
            own = copies(story.entries())
            digest = made.root(made.leaves_of(own)).hex()
            story.tell("ledger.anchor", "ledger-0.aa", tenant=TENANT, count=len(own), digest=digest)
    story.later(100)
    entries = made.write(directory, story)
    own = copies(entries)
    put_company(directory, own)
    return entries, own


def put_company(directory: Path, own: list[bytes]) -> None:
    place = directory / "tenants" / TENANT / "log"
    shutil.rmtree(place, ignore_errors=True)
    head = made.checkpoint(len(own), made.write_tiles(place, own), origin=f"{made.ORIGIN}/tenant/{TENANT}")
    made.put(place / "checkpoint", head)


def test_a_companys_log_is_compared_with_the_installations(tmp_path: Path, verify: Verify) -> None:
    with_company(tmp_path)
    code, answer = verify(tmp_path)
    assert (code, answer["findings"], answer["tenants"], answer["anchors"]) == (0, [], 1, 2)


def test_a_company_that_was_told_something_else_is_named(tmp_path: Path, verify: Verify) -> None:
    _, own = with_company(tmp_path)
    for wrong, kind in (
        ([*own[:9], own[10], own[9], *own[11:]], "copy_out_of_order"),
        (own[:9] + own[10:], "copies_missing"),
        (own[:100], "anchor_beyond"),
        (
            [*own[:9], own[9].replace(b'"mail.read"', b'"mail.read" ').replace(b"imap", b"imaq"), *own[10:]],
            "copy_altered",
        ),
    ):
        put_company(tmp_path, wrong)
        code, answer = verify(tmp_path)
        assert code == 1
        named = {finding["kind"] for finding in answer["findings"]}
        assert kind in named or {"anchor_wrong"} == named, (kind, named)


def test_a_companys_log_that_is_gone_or_never_was_anchored_is_named(tmp_path: Path, verify: Verify) -> None:
    entries, _ = with_company(tmp_path)
    shutil.rmtree(tmp_path / "tenants")
    code, answer = verify(tmp_path)
    assert (code, kinds(answer)) == (1, [("tenant_log_missing", len(entries) - 2)])
    story = made.long_story(20)
    own = copies(made.write(tmp_path / "b", story))
    put_company(tmp_path / "b", own)
    code, answer = verify(tmp_path / "b")
    assert (code, kinds(answer)) == (1, [("anchor_missing", None)])


def export(directory: Path, entries: list[bytes], own: list[bytes]) -> Path:
    """What a company is given: its log, the anchors with proofs, the installation's head."""
    from verifier.tests.test_vectors import proof_of

    place = directory / "export"
    shutil.copytree(directory / "tenants" / TENANT / "log", place / "log")
    shutil.copy(directory / "log" / "checkpoint", place / "installation-checkpoint")
    leaves = made.leaves_of(entries)
    anchors: list[dict[str, Any]] = [
        {
            "index": index,
            "entry": base64.b64encode(entry).decode(),
            "proof": [base64.b64encode(step).decode() for step in proof_of(index, leaves)],
        }
        for index, entry in enumerate(entries)
        if b'"ledger.anchor"' in entry
    ]
    told = {"origin": made.ORIGIN, "tenant": TENANT, "size": len(entries), "anchors": anchors}
    (place / "anchors.json").write_text(json.dumps(told))
    return place


def test_a_company_checks_what_it_was_given_by_itself(tmp_path: Path, verify: Verify) -> None:
    place = export(tmp_path, *with_company(tmp_path))
    code, answer = verify(place)
    assert (code, answer["findings"], answer["anchors"]) == (0, [], 2)
    told = json.loads((place / "anchors.json").read_text())
    told["anchors"][0]["index"] += 1
    (place / "anchors.json").write_text(json.dumps(told))
    code, answer = verify(place)
    assert code == 1
    assert kinds(answer)[0][0] == "anchor_unproved"
    told["anchors"][0]["index"] -= 1
    del told["anchors"][-1]  # the one that proves the newest entries
    (place / "anchors.json").write_text(json.dumps(told))
    code, answer = verify(place)
    assert (code, kinds(answer)[0][0]) == (1, "anchor_missing")
    (place / "anchors.json").write_text("{}")
    assert verify(place)[0] == 2


# --- the report ---


def test_the_report_is_in_both_languages_or_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = made.long_story(20)
    story.release(99, 3)
    story.later()
    made.write(tmp_path, story)
    keys = [option for key in made.KEYS for option in ("--key", key)]
    assert main([str(tmp_path), *keys]) == 1
    both = capsys.readouterr().out
    assert "a release of a key without a ticket" in both
    assert "密钥发放 没有对应票据" in both
    assert main([str(tmp_path), *keys, "--lang", "en"]) == 1
    one = capsys.readouterr().out
    assert one.strip() == both.split("\n\n账本")[0].strip()
    assert main([str(tmp_path), *keys, "--lang", "zh-CN"]) == 1
    assert "Entry" not in capsys.readouterr().out


def test_every_kind_of_finding_has_its_sentence_in_both_languages() -> None:
    words = json.loads((PACKAGE / "words.json").read_text("utf-8"))
    named = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "found":
                named |= {str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    assert len(named) > 20
    assert named <= set(words)
    for texts in words.values():
        assert len(texts) == 2
        assert all(texts)


def test_keys_may_stand_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.write(tmp_path / "ledger", made.long_story(5))
    (tmp_path / "keys").write_text("".join(f"--key\n{key}\n" for key in made.KEYS))
    assert main([str(tmp_path / "ledger"), f"@{tmp_path / 'keys'}"]) == 0
    assert "Nothing is wrong" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["absent", "empty", "rubbish"])
def test_what_can_not_be_checked_at_all_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    made.write(tmp_path, made.long_story(5))
    head = tmp_path / "log" / "checkpoint"
    head.write_bytes({"absent": b"", "empty": b"", "rubbish": b"\xff\n\nx"}[damage])
    if damage == "absent":
        head.unlink()
    assert main([str(tmp_path), "--key", made.KEYS[0]]) == 2
    assert "无法核验" in capsys.readouterr().err


def test_it_is_installed_and_runs_without_us(tmp_path: Path) -> None:
    """A wheel in an environment that has cryptography and nothing of ours."""
    made.write(tmp_path / "ledger", made.long_story(5))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    source = shutil.copytree(PROJECT, tmp_path / "source")
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/*/site-packages")
    shutil.unpack_archive(wheel, site, "zip")
    (entry_points,) = site.glob("postkeep_verifier-*/entry_points.txt")
    assert "postkeep-verify = postkeep_verifier.cli:main" in entry_points.read_text()
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        found = next(Path(path) for path in sys.path if (Path(path) / "cryptography").is_dir())
        for item in found.glob(f"{name}*"):
            (site / item.name).symlink_to(item)
    keys = [option for key in made.KEYS for option in ("--key", key)]
    program = [str(tmp_path / "env" / "bin" / "python"), "-I", "-m", "postkeep_verifier"]
    done = subprocess.run(
        [*program, str(tmp_path / "ledger"), *keys, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entries"] == 21
    missing = subprocess.run([*program[:2], "-c", "import postkeep"], capture_output=True, check=False)
    assert b"No module named" in missing.stderr
