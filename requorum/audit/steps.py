"""The lower half of report.html: each step with its words, changes, commands and waits."""

from __future__ import annotations

from collections.abc import Iterable

from requorum.audit.markup import Content, Markup, join, tag
from requorum.audit.moments import between, date_and_clock, duration
from requorum.audit.pieces import BROKEN_MEANS, anchor, outcome_pill, output, pill, result_pill, shown, time
from requorum.audit.story import ChangeStory, CommandStory, Event, NoteStory, StepStory, Story, WaitStory, WordStory
from requorum.display import first_words


def command(told: CommandStory) -> Markup:
    """A command, folded: what ran, its exit code, how long; inside, the whole command and its output."""
    code = "no answer" if told.exit is None else f"exit {told.exit}"
    state = pill(code, "calm" if told.exit == 0 else "bad" if told.exit is None else "warn")
    line: list[Content] = [
        tag("code", first_words(told.command)),
        " ",
        state,
        f" {duration(told.milliseconds / 1000)}, {told.host}",
    ]
    inside: list[Content] = [tag("pre", told.command)]
    for name, text in (("stdout", told.stdout), ("stderr", told.stderr)):
        if text:
            inside += [tag("p", name, class_="stream"), output(text, told.record)]
    if not told.stdout and not told.stderr:
        inside.append(tag("p", "no output", class_="stream"))
    inside.append(tag("p", f"ended {date_and_clock(told.at)}, journal record {told.record}", class_="stream"))
    return tag("details", tag("summary", *line), *inside)


def commands(told: Iterable[CommandStory]) -> Markup:
    """Commands one after the other; more than three are folded together."""
    each = [command(one) for one in told]
    if len(each) <= 3:
        return join(each)
    return tag("details", tag("summary", f"{len(each)} commands"), *each, class_="list")


def _change(told: ChangeStory) -> Markup:
    line = [
        time(told.began),
        tag("span", told.title, class_="what"),
        result_pill(told.result),
        tag("span", duration(between(told.began, told.ended)), class_="soft") if told.ended else None,
    ]
    whole = shown(told.shown, told.record) if told.shown != told.title else None
    detail = tag("p", told.detail, class_="small soft") if told.detail else None
    return tag("div", tag("div", *line, class_="line"), whole, detail, commands(told.commands),
               class_="event")  # fmt: skip


def _wait(told: WaitStory) -> Markup:
    took = duration(between(told.began, told.until)) if told.until else "no end recorded"
    text = f"waited for {told.what}"
    limit = tag("span", f"{took}, at most {duration(told.seconds)}", class_="soft")
    line = tag("div", time(told.began), tag("span", text, class_="what"), limit, class_="line")
    return tag("div", line, class_="event")


def _note(told: NoteStory) -> Markup:
    line = tag("div", time(told.at), tag("span", told.text, class_="what"), class_="line")
    return tag("div", line, class_="event note")


def events(told: Iterable[Event]) -> Markup:
    """What happened, in order; commands that follow each other stay together."""
    parts: list[Markup] = []
    waiting: list[CommandStory] = []
    for event in told:
        if isinstance(event, CommandStory):
            waiting.append(event)
            continue
        parts.append(commands(waiting))
        waiting = []
        match event:
            case ChangeStory():
                parts.append(_change(event))
            case WaitStory():
                parts.append(_wait(event))
            case NoteStory():
                parts.append(_note(event))
    return join([*parts, commands(waiting)])


def _word(told: WordStory) -> Markup:
    broken = told.outcome in ("failed", "interrupted")
    head = [tag("span", told.word, class_="kind"), tag("span", told.text, class_="text")]
    if told.outcome != "passed":
        head.append(outcome_pill(told.outcome))
    if told.outcome == "failed":
        head.append(tag("span", BROKEN_MEANS[told.word], class_="soft"))
    took = duration(between(told.began, told.ended)) if told.ended else "no end recorded"
    head.append(tag("span", took, class_="soft small"))
    compare = [
        join([tag("dt", label), tag("dd", tag("pre", text), class_=label)])
        for label, text in (("expected", told.expected), ("found", told.found), ("advice", told.advice))
        if text
    ]
    compared = tag("dl", *compare, class_="pairs compare") if compare else None
    class_ = "word bad" if broken else "word"
    return tag("div", tag("div", *head, class_="head"), compared, events(told.events), class_=class_)


def _brief(story: Story, step: StepStory) -> Markup:
    """A step that never began: its name, and why."""
    parts = [tag("h3", step.name), outcome_pill(step.outcome), tag("span", step.host, class_="soft")]
    reason = tag("span", step.reason, class_="at soft small") if step.reason else None
    return tag("article", tag("header", *parts, reason), class_="step brief", id=anchor(story.steps, step))


def _step(story: Story, step: StepStory) -> Markup:
    if not step.began and not step.words and not step.events:
        return _brief(story, step)
    took = date_and_clock(step.began) if step.began else ""
    took += f", {duration(step.seconds)}" if step.seconds is not None else ""
    head = tag(
        "header",
        tag("h3", step.name),
        outcome_pill(step.outcome),
        tag("span", step.host, class_="soft"),
        tag("span", took, class_="at soft small"),
    )
    section = tag("p", step.section, class_="soft small") if step.section else None
    reason = step.reason
    if step.outcome == "interrupted" and not reason:
        reason = "It began and its end is not recorded."
        reason += "" if any(c.touched for c in step.changes) else " No change had begun in it."
    tone = "bad" if step.outcome in ("failed", "interrupted") else "warn" if step.outcome == "blocked" else "calm"
    word = step.broken_word
    repeated = word is not None and bool(word.found) and word.expected in reason and word.found in reason
    told = tag("p", reason, class_=f"reason {tone}") if reason and not repeated else None
    return tag("article", head, section, told, *(_word(word) for word in step.words), events(step.events),
               class_="step", id=anchor(story.steps, step))  # fmt: skip


def survey_section(story: Story) -> Markup:
    """What ran outside of the steps, which is the survey."""
    if not story.survey:
        return Markup("")
    return tag("section", tag("h2", "Survey"), events(story.survey))


def steps_section(story: Story) -> Markup:
    """Every step on every host; those not reached are only named."""
    if not story.steps:
        return Markup("")
    return tag("section", tag("h2", "Steps"), *(_step(story, step) for step in story.steps))
