"""The upper half of report.html: the answer, the verdict, who ran what, the hosts, the timeline, the changes."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from requorum.audit.answer import Answer, again
from requorum.audit.markup import Content, Markup, join, tag
from requorum.audit.moments import between, date_and_clock, duration
from requorum.audit.pieces import (
    BROKEN_MEANS,
    anchor,
    bullets,
    facts,
    outcome_pill,
    pairs,
    pill,
    result_pill,
    time,
)
from requorum.audit.story import StepStory, Story, Surveyed
from requorum.display import in_a_line


def _why(story: Story, step: StepStory) -> Markup:
    """One line for a step that stopped the run, with the way to it."""
    word = step.broken_word
    link = tag("a", f"{step.name}, {step.host}", href=f"#{anchor(story.steps, step)}")
    if word is None:
        return join([link, f": {step.outcome}. {in_a_line(step.reason)}"])
    means = BROKEN_MEANS[word.word] if step.outcome == "failed" else "interrupted"
    expected = "" if word.expected == word.text else word.expected
    told = [("Expected", expected), ("Found", word.found.strip().replace("\n", "; "))]
    if not word.expected and not word.found:
        told = [("Reason", step.reason)]
    lines = (tag("div", f"{label}: {in_a_line(text)}") for label, text in told if text)
    return join([link, f": {word.word} “{word.text}” ({means})", *lines])


def _backup(story: Story) -> Content:
    """Where the backup is: as recorded, else the backup's steps (section 38.1.1) that finished."""
    if story.backups:
        hosts = tag("div", ", ".join(sorted({b.host for b in story.backups})), class_="small soft")
        return join([tag("a", f"{len(story.backups)} proven", href="#backups"), hosts])
    done = {s.number: s for s in reversed(story.steps) if s.section.startswith("38.1.1") and s.outcome == "passed"}
    if not any(step.changes for step in done.values()):
        return "none recorded" if story.touched else None
    links = (tag("a", step.name, href=f"#{anchor(story.steps, step)}") for step in reversed(done.values()))
    return join(tag("div", link) for link in links)


def _members(story: Story, answer: Answer) -> Content:
    total = len(answer.healthy) + len(answer.missing)
    if not total:
        return "not looked at" if story.run else None
    names = tag("div", ", ".join(answer.healthy), class_="small soft")
    return join([f"{len(answer.healthy)} of {total}", names])


def _last(story: Story, answer: Answer) -> Content:
    step = answer.last_finished
    if step is None:
        return None
    link = tag("a", step.name, href=f"#{anchor(story.steps, step)}")
    return join([link, tag("div", f"{step.host}, {date_and_clock(step.ended)}", class_="small soft")])


def _writable(story: Story, answer: Answer) -> Content:
    if not answer.writable_at:
        return None
    after = between(story.began, answer.writable_at)
    told = tag("div", f"{duration(after)} after the start", class_="small soft")
    return join([date_and_clock(answer.writable_at), told])


def _heading(text: str, content: Content) -> list[Content]:
    return [tag("h2", text), content]


def answer_section(story: Story, answer: Answer) -> Markup:
    """May I go on or stop; what stopped it, what is unknown, the next command, then the facts it rests on."""
    unknown = [join([tag("code", c.host), f" {c.title}"]) for c in answer.unknown]
    parts: list[Content] = [
        tag("h1", answer.headline),
        tag("p", answer.state, class_="state") if answer.state else None,
        tag("p", answer.sentence, class_="sentence"),
    ]
    if answer.stopped_by:
        parts += _heading("Stopped by", bullets(_why(story, step) for step in answer.stopped_by))
    if unknown:
        parts += _heading("Unknown: may or may not have happened", bullets(unknown))
    if answer.advice:
        parts += _heading("What to do", bullets(answer.advice))
    if answer.next_command:
        parts += _heading("Next command", tag("pre", answer.next_command))
    below = facts(
        ("Members healthy", _members(story, answer)),
        ("Missing", ", ".join(answer.missing) if answer.healthy else None),
        ("Survivor", story.survivor),
        ("Writes possible again", _writable(story, answer)),
        ("Last finished step", _last(story, answer)),
        ("Backup", _backup(story)),
    )
    return join([tag("section", *parts, class_=f"answer {answer.tone}"), below])


def verdict_section(story: Story) -> Markup:
    """The verdict with its proof, and when it was proven again; what was changed since has made another of it."""
    if not story.verdicts:
        return Markup("")
    last = story.verdicts[-1].verdict
    proven = ", ".join(f"{date_and_clock(j.at)} ({j.verdict.verdict})" for j in story.verdicts)
    return tag(
        "section",
        tag("h2", "Verdict at the start" if story.touched else "Verdict"),
        tag("p", last.verdict, class_="verdict"),
        bullets(last.proof, class_="proof"),
        pairs(("Survivor", last.survivor), ("Loss", last.loss), ("Hosts", ", ".join(last.hosts)), ("Proven", proven)),
    )


def run_section(story: Story) -> Markup:
    """Who, when, with what, and the operator's word."""
    run, agreed = story.run, story.confirmed
    if run is None:
        return Markup("")
    word: Content = "none recorded" if story.touched else "none; nothing was changed"
    if agreed:
        given = "given" if agreed.confirmed.given else "refused"
        word = f"{given} by {agreed.confirmed.by}, {agreed.confirmed.how}, {date_and_clock(agreed.at)}"
    end = f"{date_and_clock(story.last)}, after {duration(between(story.began, story.last))}"
    digest = tag("div", f"sha256 {run.inventory_sha256}", class_="small soft mono")
    result = "no end is recorded"
    if ended := story.ended:
        result = f"{ended.result}, exit {ended.exit}" + (f": {ended.answer}" if ended.answer else "")
    return tag(
        "section",
        tag("h2", "Run"),
        pairs(
            ("Operator", f"{run.operator} on {run.machine}"),
            ("Command", tag("code", again(run))),
            ("Mode", run.mode),
            ("Began", date_and_clock(story.began)),
            ("Ended" if story.ended else "Last record", end),
            ("Result", result),
            ("Confirmation", word),
            ("Inventory", join([run.inventory, digest])),
            ("Run", tag("span", run.run, class_="mono")),
            ("Recovery", tag("span", run.recovery, class_="mono")),
            ("Versions", ", ".join(run.versions)),
        ),
    )


def _table(class_: str, head: list[Markup], rows: list[Markup]) -> Markup:
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_=class_)
    return tag("div", table, class_="scroll", tabindex="0")


def _found(surveyed: Surveyed, label: str) -> str:
    return next((value for name, value in surveyed.host.found if name == label), "–")


def hosts_section(story: Story) -> Markup:
    """The hosts as surveyed, side by side; a host that was surveyed again has another column."""
    if not story.hosts:
        return Markup("")
    labels = dict.fromkeys(label for surveyed in story.hosts for label, _ in surveyed.host.found)
    head = [tag("th"), *(tag("th", s.host.host, scope="col") for s in story.hosts)]
    reached = [pill("answers", "good") if s.host.reached else pill("does not answer", "bad") for s in story.hosts]
    rows = [
        tag("tr", tag("th", "at", scope="row"), *(tag("td", time(s.at)) for s in story.hosts)),
        tag("tr", tag("th", "SSH", scope="row"), *(tag("td", cell) for cell in reached)),
        *(
            tag("tr", tag("th", label, scope="row"), *(tag("td", _found(s, label)) for s in story.hosts))
            for label in labels
        ),
    ]
    return tag("section", tag("h2", "Hosts as surveyed"), _table("hosts", head, rows))


def timeline_section(story: Story) -> Markup:
    """Every step on every host in one line, stage by stage, those not reached too."""
    if not story.steps:
        return Markup("")
    rows: list[Markup] = []
    for stage, steps in groupby(story.steps, key=lambda step: step.stage):
        rows.append(tag("tr", tag("th", stage, colspan="6", scope="rowgroup"), class_="stage"))
        rows += [_timeline_row(story, step) for step in steps]
    head = [
        *(tag("th", text) for text in ("UTC", "Step", "Host", "State")),
        *(tag("th", text, class_="num") for text in ("Changes", "Took")),
    ]
    counts = Counter(step.outcome for step in story.steps)
    told = tag("p", ", ".join(f"{count} {outcome}" for outcome, count in counts.items()), class_="soft small")
    return tag("section", tag("h2", "Timeline"), told, _table("timeline", head, rows))


def _timeline_row(story: Story, step: StepStory) -> Markup:
    touched = sum(change.touched for change in step.changes)
    return tag(
        "tr",
        tag("td", time(step.began or step.ended), class_="time"),
        tag("td", tag("a", step.name, href=f"#{anchor(story.steps, step)}"), class_="title"),
        tag("td", step.host, class_="host soft"),
        tag("td", outcome_pill(step.outcome), class_="state"),
        tag("td", str(touched) if touched else "", class_="num wide"),
        tag("td", duration(step.seconds), class_="num wide soft"),
    )


def changes_section(story: Story) -> Markup:
    """Everything that was done to the hosts, in order, in one line each; what held already is left to the steps."""
    if not story.touched:
        return Markup("")
    steps = {step.id: step for step in story.steps}
    rows = []
    for change in story.touched:
        step = steps.get(change.step)
        where: Content = tag("a", str(step.number), href=f"#{anchor(story.steps, step)}") if step else "survey"
        rows.append(
            tag("tr", tag("td", time(change.began), class_="time"), tag("td", change.title, class_="title"),
                tag("td", change.host, class_="host soft"), tag("td", result_pill(change.result), class_="state"),
                tag("td", where, class_="num wide"))
        )  # fmt: skip
    head = [*(tag("th", text) for text in ("UTC", "Change", "Host", "Outcome")), tag("th", "Step", class_="num")]
    return tag("section", tag("h2", "What was changed"), _table("timeline", head, rows))


def backups_section(story: Story) -> Markup:
    """Every backup that counts: what it was proven to hold, where it lies, and its copy beside this page."""
    if not story.backups:
        return Markup("")
    rows = []
    for backup in sorted(story.backups, key=lambda backup: (backup.host, backup.place)):
        digest = tag("div", f"sha256 {backup.sha256}", class_="small soft mono") if backup.sha256 else None
        copy = join([backup.copy or "not fetched", digest])
        there = join([backup.host, tag("div", backup.place, class_="small soft mono")])
        rows.append(tag("tr", *(tag("td", cell) for cell in (backup.holds, there, copy))))
    head = [tag("th", text) for text in ("Holds", "On the host", "Copy in this folder")]
    return tag("section", tag("h2", "Backups", id="backups"), _table("hosts", head, rows))
