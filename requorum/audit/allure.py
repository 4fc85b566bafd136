"""allure-results/: the story for those who have Allure. One result per step and host, each file named by what it tells.

Allure's own files would call an interrupted step passed and leave out those not reached (REPORTS.md): these come from
the journal. Names and ids follow from the run and the step, so making them again replaces the same files.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import attr
from allure_commons.model2 import (
    Attachment,
    Label,
    Parameter,
    Status,
    StatusDetails,
    TestResult,
    TestStepResult,
)

from requorum.audit.answer import Answer, again, answer
from requorum.audit.moments import clock, duration, milliseconds
from requorum.audit.story import (
    ChangeStory,
    CommandStory,
    Event,
    NoteStory,
    Outcome,
    StepStory,
    Story,
    WaitStory,
    WordStory,
)
from requorum.display import first_words, visible
from requorum.records import Run

_SPACE = uuid.UUID("6d1c0f0e-6a4b-5c56-9a0e-3f8f1f6f2b11")
"""The name space of our ids (a UUID made once, for this purpose)."""

_STATUS: dict[Outcome, str] = {
    "passed": Status.PASSED, "failed": Status.FAILED, "interrupted": Status.BROKEN, "blocked": Status.SKIPPED,
    "deferred": Status.SKIPPED, "not reached": Status.SKIPPED,
}  # fmt: skip

_CATEGORIES = (
    ("Blocked: an earlier step failed", Status.SKIPPED, "(?s)^BLOCKED.*"),
    ("Not reached", Status.SKIPPED, "(?s)^NOT REACHED.*"),
    ("Interrupted: the state may be unknown", Status.BROKEN, "(?s).*"),
    ("Precondition: the step changed nothing", Status.FAILED, "(?s)^precondition.*"),
    ("Action: state unknown", Status.FAILED, "(?s)^action.*"),
    ("Postcondition: changed, but not as required", Status.FAILED, "(?s)^postcondition.*"),
)


def _id(*names: str) -> str:
    return str(uuid.uuid5(_SPACE, "\n".join(names)))


def _item(name: str, status: str, began: str, ended: str) -> TestStepResult:
    item = TestStepResult(name=visible(name), status=status)
    item.start, item.stop = milliseconds(began), milliseconds(ended)
    return item


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes results and attachments of one run into a folder."""

    folder: Path
    run: str
    last: str

    def attachment(self, record: int, name: str, text: str) -> Attachment:
        """A text, whole, in a file named by its record; returns how a result refers to it."""
        source = f"{_id(self.run, str(record), name)}-attachment.txt"
        (self.folder / source).write_text(visible(text), encoding="utf-8")
        return Attachment(name=name, source=source, type="text/plain")

    def result(self, result: TestResult) -> None:
        """One result, in Allure's own form: fields without a value are left out."""
        data = attr.asdict(result, filter=lambda _, value: bool(value) or value is False or value == 0)
        text = json.dumps(data, ensure_ascii=True, sort_keys=True, indent=1)
        (self.folder / TestResult.file_pattern.format(prefix=result.uuid)).write_text(text, encoding="utf-8")

    def command(self, told: CommandStory) -> TestStepResult:
        """A command with everything it said in one attachment."""
        code = "no answer" if told.exit is None else f"exit {told.exit}"
        item = _item(f"{clock(told.at)} UTC  {first_words(told.command)}  → {code}",
                     Status.BROKEN if told.exit is None else Status.PASSED, told.at, told.at)  # fmt: skip
        item.start = item.stop - told.milliseconds
        text = f"{told.command}\n\n{code}, {duration(told.milliseconds / 1000)}, {told.host}, ended {told.at}\n"
        text += "".join(f"\n{n}:\n{s}" for n, s in (("stdout", told.stdout), ("stderr", told.stderr)) if s)
        item.attachments.append(self.attachment(told.record, "command and output", text))
        return item

    def change(self, told: ChangeStory) -> TestStepResult:
        """A change, shown in a step of its own, then its commands."""
        status = {"failed": Status.FAILED, "unknown": Status.BROKEN}.get(told.result, Status.PASSED)
        item = _item(
            f"{clock(told.began)} UTC  {told.title}: {told.result}", status, told.began, told.ended or self.last
        )
        item.statusDetails = StatusDetails(message=visible(told.detail)) if told.detail else None
        shown = _item("what was changed", Status.PASSED, told.began, told.began)
        shown.attachments.append(self.attachment(told.record, "command or difference", told.shown))
        item.steps = [shown, *map(self.command, told.commands)]
        return item

    def event(self, told: Event) -> TestStepResult:
        """Whatever happened, as a step."""
        match told:
            case CommandStory():
                return self.command(told)
            case ChangeStory():
                return self.change(told)
            case WaitStory():
                limit = duration(told.seconds)
                name = f"{clock(told.began)} UTC  waited for {told.what}, at most {limit}"
                return _item(name, Status.PASSED if told.until else Status.BROKEN, told.began, told.until or self.last)
            case NoteStory():
                return _item(f"{clock(told.at)} UTC  note: {told.text}", Status.PASSED, told.at, told.at)

    def word(self, told: WordStory) -> TestStepResult:
        """One of the three words, with what happened in it."""
        name = f"{clock(told.began)} UTC  {told.word}: {told.text}"
        item = _item(name, _STATUS[told.outcome], told.began, told.ended or self.last)
        item.statusDetails = _details(told)
        item.steps = [self.event(event) for event in told.events]
        return item

    def step(self, story: Story, told: StepStory, order: int) -> TestResult:
        """One step on one host."""
        began = told.began or told.ended or self.last
        title = f"{told.name} [{told.host}]"
        result = self._result(story, told.id, title, told.stage or "Steps", told.host, order)
        result.status = _STATUS[told.outcome]
        result.start, result.stop = milliseconds(began), milliseconds(told.ended or self.last)
        result.statusDetails = _reason(told)
        result.description = visible(told.section) or None
        result.steps = [*map(self.word, told.words), *map(self.event, told.events)]
        return result

    def survey(self, story: Story, host: str, events: list[Event]) -> TestResult:
        """The survey of one host: facts, then commands."""
        result = self._result(story, f"survey[{host}]", f"Survey [{host}]", "Survey", host, 0)
        surveyed = next((s for s in story.hosts if s.host.host == host), None)
        reached = surveyed is None or surveyed.host.reached
        result.status = Status.PASSED if reached else Status.SKIPPED
        result.statusDetails = None if reached else StatusDetails(message="the host does not answer")
        result.steps = [self.event(event) for event in events]
        stop = milliseconds(surveyed.at if surveyed else story.began)
        result.start = min([stop, *(step.start for step in result.steps)])
        result.stop = max([stop, *(step.stop for step in result.steps)])
        if surveyed:
            found = "".join(f"{label}: {value}\n" for label, value in surveyed.host.found)
            facts = _item("what was found", Status.PASSED, surveyed.at, surveyed.at)
            facts.attachments.append(self.attachment(0, f"facts of {host}", found))
            result.steps.insert(0, facts)
        return result

    def _result(self, story: Story, name: str, title: str, suite: str, host: str, order: int) -> TestResult:
        cluster = story.run.cluster if story.run else "unknown cluster"
        result = TestResult(uuid=_id(self.run, name), name=visible(title), fullName=f"{cluster}: {name}")
        result.testCaseId = result.historyId = _id(cluster, name)
        result.titlePath = [cluster, visible(suite)]
        labels = {"parentSuite": cluster, "suite": suite, "target": host, "order": str(order), "framework": "requorum"}
        result.labels = [Label(name=key, value=visible(value)) for key, value in labels.items()]
        result.parameters = [Parameter(name="host", value=visible(host))]
        return result


def _details(told: WordStory) -> StatusDetails | None:
    lines = [f"{told.word}: {told.text}"]
    lines += [f"expected: {told.expected}"] if told.expected else []
    lines += [f"found: {told.found}"] if told.found else []
    lines += [f"advice: {told.advice}"] if told.advice else []
    return StatusDetails(message=visible("\n".join(lines))) if told.outcome in ("failed", "interrupted") else None


def _reason(told: StepStory) -> StatusDetails | None:
    if told.outcome == "passed":
        return None
    if told.broken_word:
        details = _details(told.broken_word)
        if details and told.outcome == "interrupted":
            details.message = f"INTERRUPTED in {details.message}"
        return details
    lead = told.outcome.upper()
    reason = told.reason if told.reason.upper().startswith(lead) else f"{lead}: {told.reason}" if told.reason else lead
    return StatusDetails(message=visible(reason))


def _property(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace("\n", " ")


def _write_run(folder: Path, story: Story, run: Run, told: Answer) -> None:
    environment = {
        "answer": told.title, "cluster": run.cluster, "run": run.run, "recovery": run.recovery, "mode": run.mode,
        "operator": f"{run.operator} on {run.machine}", "command": again(run), "inventory": run.inventory,
        "inventory.sha256": run.inventory_sha256, "began": story.began, "last.record": story.last,
        "verdict": story.verdicts[-1].verdict.verdict if story.verdicts else "none",
        "survivor": story.survivor or "none",
        "journal.head": story.chain.head, "versions": ", ".join(run.versions),
    }  # fmt: skip
    text = "".join(f"{key} = {_property(value)}\n" for key, value in environment.items())
    (folder / "environment.properties").write_text(text, encoding="utf-8")
    executor = {
        "name": "Requorum",
        "type": "requorum",
        "buildName": run.run,
        "reportName": f"{run.cluster}: {told.title}",
    }
    _write_json(folder / "executor.json", executor)


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def _survey(story: Story) -> Iterable[tuple[str, list[Event]]]:
    """Each host with what ran there outside of the steps, in the order of the survey."""
    hosts: dict[str, list[Event]] = {surveyed.host.host: [] for surveyed in story.hosts}
    for event in story.survey:
        host = "" if isinstance(event, WaitStory) else event.host
        hosts.setdefault(host or "the operator's machine", []).append(event)
    return hosts.items()


def write_results(story: Story, folder: Path) -> None:
    """Write the results of the story into an existing, empty folder.

    Raises OSError where a file cannot be written.
    """
    if story.run is None:
        return
    writer = _Writer(folder, story.run.run, story.last)
    for host, events in _survey(story):
        writer.result(writer.survey(story, host, events))
    for order, step in enumerate(story.steps, start=1):
        writer.result(writer.step(story, step, order))
    _write_run(folder, story, story.run, answer(story))
    categories = [{"name": n, "matchedStatuses": [s], "messageRegex": r} for n, s, r in _CATEGORIES]
    _write_json(folder / "categories.json", categories)
