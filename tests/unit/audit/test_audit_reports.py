"""The three reports: the same each time, closed to the network, and honest about a journal that does not hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from audit_journals import HOSTILE, OTHERS, SURVIVOR, Scribe, Timed, hostile, interrupted, recovery, refused

from requorum.audit import write_all
from requorum.audit.__main__ import main
from requorum.display import SHOWN, difference_of, first_words, in_a_line, is_difference, shortened, visible
from requorum.facts.host import commands

RUNS = {"recovery": recovery, "refused": refused, "interrupted": interrupted, "hostile": hostile}
ROOT = Path(__file__).parents[3]
VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """Elements, attributes and ids of a page; raises where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(params=RUNS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write(tmp_path, RUNS[request.param])
    return tmp_path


def write(folder: Path, run: Callable[[], Iterator[Timed]]) -> None:
    Scribe(folder).write(run())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def results(folder: Path) -> dict[str, dict[str, object]]:
    files = (folder / "allure-results").glob("*-result.json")
    return {str(data["fullName"]): data for data in (json.loads(file.read_text()) for file in files)}


def test_made_again_it_is_the_same_byte_for_byte(folder: Path) -> None:
    write_all(folder)
    first = contents(folder)
    (folder / "allure-results" / "stale-result.json").write_text("{}")
    (folder / "allure-results.old").mkdir()
    elsewhere = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "requorum.audit", str(folder)]
    subprocess.run(command, check=True, env=elsewhere, cwd=ROOT, capture_output=True)
    assert contents(folder) == first


def test_the_page_is_closed_to_script_and_network(folder: Path) -> None:
    text = write_all(folder).read_text()
    page = Page(text)
    assert (
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        in text
    )
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg", "video"}
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "srcset", "style", "action"}
    assert not [name for name in names if name.startswith("on")]
    ids = {value for name, value in page.attributes if name == "id"}
    links = {value for name, value in page.attributes if name == "href"}
    assert {link.removeprefix("#") for link in links} <= ids
    style = text.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)


def test_nothing_from_a_host_becomes_markup_or_hides(tmp_path: Path) -> None:
    write(tmp_path, hostile)
    text = write_all(tmp_path).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in text
    assert not re.search("[\x00\x1b\u202e]", text)
    for file in (tmp_path / "allure-results").iterdir():
        assert not re.search("[\x00\x1b\u202e]", file.read_text(encoding="utf-8"))


def test_a_megabyte_is_cut_in_the_page_and_whole_in_allure(tmp_path: Path) -> None:
    write(tmp_path, hostile)
    report = write_all(tmp_path)
    assert report.stat().st_size < 100_000
    assert "characters left out; journal.jsonl, record" in report.read_text()
    assert max(f.stat().st_size for f in (tmp_path / "allure-results").iterdir()) > 1_000_000


def test_the_answer_comes_first(tmp_path: Path) -> None:
    write(tmp_path, interrupted)
    told = Page(write_all(tmp_path).read_text()).text
    order = ["INTERRUPTED", "the state of 1 change is unknown", "Stopped by", "systemctl mask", "Next command",
             "Last finished", "Backup", "Verdict", "Operator", "Hosts as surveyed", "Timeline", "Steps",
             "The record"]  # fmt: skip
    body = told[told.index("etcd cluster") :]
    places = [body.index(words) for words in order]
    assert places == sorted(places)


def test_an_interrupted_run_has_not_looked_at_the_members(tmp_path: Path) -> None:
    write(tmp_path, interrupted)
    assert "Members healthynot looked at" in Page(write_all(tmp_path).read_text()).text


def test_backups_have_a_place_of_their_own(tmp_path: Path) -> None:
    """Above them comes what decides; the answer only leads to them."""
    write(tmp_path, recovery)
    text = write_all(tmp_path).read_text()
    assert '<a href="#backups">1 proven</a>' in text
    assert text.index("Verdict at the start</h2>") < text.index('<h2 id="backups">') < text.index("Steps</h2>")
    assert text.count("/backup/etcd-20261123/snap.db") == 1


def test_a_page_is_small(tmp_path: Path) -> None:
    write(tmp_path, recovery)
    assert write_all(tmp_path).stat().st_size < 120_000


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda lines: [*lines[:6], lines[6].replace(b"etcd", b"etce", 1), *lines[7:]], 7),
        (lambda lines: [*lines[:6], *lines[7:]], 7),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines[:3], b"[1]\n", *lines[3:]], 4),
        (lambda lines: [*lines[:3], b"7\n", *lines[3:]], 4),
        (lambda lines: [*lines[:3], b"\xff\xfe\n", *lines[3:]], 4),
        (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4),
    ],
)
def test_a_journal_that_does_not_hold_is_said_on_top(
    tmp_path: Path, spoil: Callable[[list[bytes]], list[bytes]], line: int
) -> None:
    write(tmp_path, recovery)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(spoil(journal.read_bytes().splitlines(keepends=True))))
    text = write_all(tmp_path).read_text()
    body = Page(text.split("<body>")[1].split("</body>")[0]).text
    assert body.startswith(f"The journal's chain does not hold from line {line} on")
    assert "RECOVERED" not in body
    assert str(tmp_path) not in text
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["class"], summary["journal_fault"].split(":")[0]) == ("journal-broken", f"line {line}")
    assert main([str(tmp_path)]) == 1


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, recovery)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert "INTERRUPTED" in write_all(tmp_path).read_text()


def test_allure_has_every_step_with_its_true_state(tmp_path: Path) -> None:
    write(tmp_path, interrupted)
    write_all(tmp_path)
    told = results(tmp_path)
    assert len(told) == 27 + 3
    cut = told[f"prod: test_30[{OTHERS[0]}]"]
    assert cut["status"] == "broken"
    assert "INTERRUPTED in action" in str(cut["statusDetails"])
    later = told[f"prod: test_31[{SURVIVOR}]"]
    assert (later["status"], later["statusDetails"]) == ("skipped", {"message": "NOT REACHED"})
    assert {"name": "target", "value": OTHERS[0]} in cut["labels"]  # type: ignore[operator]
    assert told[f"prod: test_30[{OTHERS[1]}]"]["status"] == "passed"


def test_allure_says_what_failed_and_what_is_blocked(tmp_path: Path) -> None:
    write(tmp_path, refused)
    write_all(tmp_path)
    told = results(tmp_path)
    failed = told[f"prod: test_11[{SURVIVOR}]"]
    message = failed["statusDetails"]["message"]  # type: ignore[index]
    assert failed["status"] == "failed"
    assert message.startswith("precondition: quorum is proven lost\nexpected: ")
    assert "advice: " in message
    assert told[f"prod: test_40[{SURVIVOR}]"]["statusDetails"] == {"message": f"BLOCKED: step 11 failed on {SURVIVOR}"}


def test_every_attachment_is_there_and_alone_in_its_step(folder: Path) -> None:
    write_all(folder)

    def sources(item: dict[str, object]) -> Iterator[str]:
        attachments: list[dict[str, str]] = item.get("attachments", [])  # type: ignore[assignment]
        assert len(attachments) <= 1
        yield from (attachment["source"] for attachment in attachments)
        for inner in item.get("steps", []):  # type: ignore[attr-defined]
            yield from sources(inner)

    named = [source for result in results(folder).values() for source in sources(result)]
    assert len(named) == len(set(named))
    assert set(named) == {file.name for file in (folder / "allure-results").glob("*-attachment.txt")}


def test_the_summary_has_what_its_page_says(tmp_path: Path) -> None:
    write(tmp_path, interrupted)
    write_all(tmp_path)
    text = (tmp_path / "summary.json").read_text()
    summary = json.loads(text)
    documented = (ROOT / "docs" / "summary.md").read_text()
    rows = [line.split("|")[1] for line in documented.splitlines() if line.startswith("| `")]
    assert set(summary) == {name for row in rows for name in re.findall("`([a-z_]+)`", row)}
    assert list(summary) == sorted(summary)
    assert (summary["class"], summary["exit"], summary["verdict"]) == ("interrupted", None, "lost")
    assert [change["host"] for change in summary["unknown_changes"]] == [OTHERS[0]]


def test_the_command_says_what_it_wants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "Name a folder reports/<cluster>/<run>" in capsys.readouterr().err
    write(tmp_path, recovery)
    assert main([str(tmp_path)]) == 0
    assert "the journal holds: " in capsys.readouterr().out


def test_text_is_made_visible() -> None:
    assert visible("\x1b[1;31mred\x1b[0m\r\nnext\ttab") == "red\nnext\ttab"
    assert visible("a\rb\x1b[2J\x7f\u202e\udc80") == "a⟨U+000D⟩b⟨U+001B⟩[2J⟨U+007F⟩⟨U+202E⟩⟨U+DC80⟩"
    assert in_a_line("two\n lines\tand more", 9) == "two line…"
    assert HOSTILE not in visible(HOSTILE)


def test_a_command_is_named_by_what_it_does() -> None:
    """The functions that many commands begin with would name them all the same."""
    functions = "\nconf() {  # a value\n  sed 1p\n}\n\nctl() {\n  case $x in\n    *) etcdctl;;\n  esac\n}\n"
    assert first_words(f"{functions}# who is there\nctl member list -w json\n") == "ctl member list -w json"
    assert first_words("cat /etc/etcd/etcd.conf") == "cat /etc/etcd/etcd.conf"
    assert first_words(functions) == "conf() {  # a value"
    assert first_words("only() {\n never closed") == "only() {"
    assert first_words(f"\n#: the living processes\n{functions}for x in *; do") == "the living processes"


def test_every_question_of_the_survey_has_a_title_for_a_reader() -> None:
    titles = {noun: first_words(text) for noun, text in commands("/backup", is_master=True).items()}
    assert [noun for noun, title in titles.items() if title.startswith(("find_", "for ", "set ", "with_", "["))] == []
    assert len(set(titles.values())) == len(titles)


def test_text_is_shortened_in_the_middle() -> None:
    assert shortened("x" * SHOWN) == ("x" * SHOWN, 0, "")
    head, left_out, tail = shortened("a" * SHOWN + "z" * SHOWN)
    assert (len(head) + len(tail), left_out, head[-1], tail[-1]) == (SHOWN, SHOWN, "a", "z")


def test_a_difference_is_told_from_a_command() -> None:
    assert is_difference("--- a\n+++ b\n@@ -1 +1 @@\n")
    assert difference_of("--- /dev/null\n+++ /etc/new\n") == "/etc/new"
    assert difference_of("--- /etc/old\n+++ /dev/null\n") == "/etc/old"
    assert not is_difference("etcdctl member add --peer-urls=x\n--- nothing\n")
