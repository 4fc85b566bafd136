"""What is read on a host beside the cluster, in one batch, and what becomes of one that does not answer whole."""

from __future__ import annotations

import pytest
from test_beside import M0, M1, NODE

from requorum.facts.beside import COMMAND, BesideFacts, Computer, parse
from requorum.facts.host import Noun, Silent
from requorum.remote import Output, RemoteError, Unreachable
from requorum.survey import BesideSurveyor, Unexpected


class Told:
    """A remote that answers a batch with what it is told, or cannot be reached."""

    def __init__(self, error: RemoteError | None = None, **said: Output) -> None:
        self.error, self.said, self.asked = error, said, list[list[str]]()

    def batch(self, commands: dict[Noun, str], **_: object) -> dict[Noun, Output]:
        self.asked.append(list(commands))
        if self.error:
            raise self.error
        usual = "uid=0\nhostname=n\nmachine=m\nboot=b\naddresses=10.0.0.30 10.1.5.1 \nunwritable= /etc/sysconfig\n"
        said = {"machine": Output(0, usual, "")} | self.said
        return {noun: said.get(noun, Output(0, "", "")) for noun in commands}


def surveyed(host: str, remote: Told) -> BesideFacts | Silent:
    return BesideSurveyor({host: remote}, frozenset({M0, M1})).all()[host]  # type: ignore[dict-item]


def test_one_batch_reads_what_concerns_a_host_beside_the_cluster() -> None:
    remote = Told()
    assert surveyed(NODE, remote) == BesideFacts(
        NODE, Computer(0, "n", "m", "b", ("10.0.0.30", "10.1.5.1"), ("/etc/sysconfig",))
    )
    assert remote.asked == [["machine", "lock", "flannel"]]
    assert surveyed(
        NODE, Told(Unreachable(NODE, expected="a way", found="no route to host", advice="is it on?"))
    ) == Silent(NODE, "no route to host", "is it on?")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Output(1, "", "cat: …/master-config.yaml: No such file or directory"), "remove it from `masters`"),
        (Output(1, "", "bash: …/master-config.yaml: Permission denied"), "log in as root"),
        (Output(0, "", ""), "expected a master's configuration"),
    ],
)
def test_a_master_that_cannot_be_read_is_an_error_and_no_silence(said: Output, words: str) -> None:
    with pytest.raises(Unexpected) as error:
        surveyed(M0, Told(master=said))
    assert words in f"{error.value.found} {error.value.advice}"


@pytest.mark.parametrize("late", [Output(124, "", ""), Output(0, "", "", True)])
def test_no_answer_in_time_is_silence_and_holds_nothing_up(late: Output) -> None:
    found = surveyed(NODE, Told(lock=late))
    assert isinstance(found, Silent)
    assert (found.alive, found.reason) == (True, "no whole answer in time (lock)")


def test_a_machine_that_does_not_say_who_it_is_is_an_error() -> None:
    with pytest.raises(ValueError, match="facts of a machine"):
        parse("uid=0\n")
    assert "$EUID" in COMMAND
