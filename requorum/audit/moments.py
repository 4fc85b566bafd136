"""Times of the journal as a reader wants them: clock, date, durations. Everything is UTC."""

from __future__ import annotations

from datetime import datetime, timezone


def moment(at: str) -> datetime:
    """The journal's time (ISO 8601 with a final Z) as a datetime in UTC."""
    return datetime.fromisoformat(at.replace("Z", "+00:00")).astimezone(timezone.utc)


def milliseconds(at: str) -> int:
    """Milliseconds since 1970 (UTC), as Allure counts."""
    since = moment(at) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000


def between(began: str, ended: str) -> float | None:
    """Seconds from one time to the other; None where either is not recorded."""
    return (moment(ended) - moment(began)).total_seconds() if began and ended else None


def clock(at: str) -> str:
    """``02:41:07`` (UTC), or a dash for a time that is not recorded."""
    return moment(at).strftime("%H:%M:%S") if at else "–"


def date_and_clock(at: str) -> str:
    """``2026-11-23 02:41:07 UTC``, or a dash for a time that is not recorded."""
    return moment(at).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "–"


def duration(seconds: float | None) -> str:
    """``42 ms``, ``4.7 s``, ``2 min 05 s``, ``1 h 02 min``; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
