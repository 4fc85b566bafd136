"""Certificates really made with openssl, by a CA in a folder of the test's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders import facts
from ca_folder import JOINER, ME, NAMES, SIGNER, Place, make
from cryptography import x509
from local_shell import stand_in

from requorum.changes import (
    ChangeFailed,
    ForgetCertificates,
    MakeRequest,
    PlaceCertificates,
    SignRequest,
    TakeCertificatesBack,
    WriteFile,
)
from requorum.facts import ca
from requorum.facts.issuing import FOLDER, PLACED, TARGETS, Issuing

KEY, CERT, CA_FILE = "/etc/etcd/peer.key", "/etc/etcd/peer.crt", "/etc/etcd/ca.crt"
ASIDE = "/etc/etcd/replaced-by-requorum-r1"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make(tmp_path)


def placing() -> PlaceCertificates:
    files = (("peer.crt", CERT), ("peer.key", KEY), ("ca-0.crt", CA_FILE))
    return PlaceCertificates(JOINER, files, (("peer", f"{FOLDER}/ca-0.crt"),), ME, ASIDE)


def signed(place: Place) -> None:
    """Everything but the last change is made."""
    place.requested().do(place.shell)
    (serial,) = place.serials
    for name, text in (("peer.crt", place.read(f"{ca.ISSUED}/{serial}.pem")), ("ca-0.crt", place.read(ca.CERTIFICATE))):
        WriteFile(JOINER, f"{FOLDER}/{name}", text, mode="0600").do(place.shell)


def test_a_request_is_made_once_and_its_key_is_roots_alone(place: Place) -> None:
    change = MakeRequest(JOINER, "peer", JOINER, NAMES)
    assert change.do(place.shell)
    key = place.path(f"{FOLDER}/peer.key")
    made = key.read_text()
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert not change.do(place.shell)
    assert key.read_text() == made
    (kind, request), *_ = place.issuing.requests
    assert (kind, place.issuing.placed) == ("peer", False)
    assert "PRIVATE" not in request
    assert not any("PRIVATE" in asked or made.splitlines()[1] in asked for asked in place.shell.asked)


def test_a_request_for_other_names_is_made_anew(place: Place) -> None:
    MakeRequest(JOINER, "peer", JOINER, NAMES).do(place.shell)
    assert MakeRequest(JOINER, "peer", JOINER, ("DNS:other",)).do(place.shell)


def test_it_is_signed_once_as_the_installer_does_it(place: Place) -> None:
    change = place.requested()
    assert change.do(place.shell)
    assert not change.do(place.shell)
    assert place.serials == ["01"]
    assert place.read(ca.SERIAL) == "02\n"
    made = x509.load_pem_x509_certificate(place.path(f"{ca.ISSUED}/01.pem").read_bytes())
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=1825)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(map(str, (one.value for one in names))) == ["10.0.0.12", JOINER]


def test_two_for_one_host_have_two_serials(place: Place) -> None:
    """The installer's CA says unique_subject = no."""
    for kind in ("server", "peer"):
        place.requested(kind).do(place.shell)
    assert place.serials == ["01", "02"]


@pytest.mark.parametrize(
    "killed",
    [
        "mv serial serial.old",
        "mv serial serial.old && mv serial.new serial && mv index.txt index.txt.old",
        "cp certs/01.pem certs/02.pem",
    ],
)
def test_openssl_was_killed_between_its_renames(place: Place, killed: str) -> None:
    """What it was about to write is taken; a number that a certificate has is not given again."""
    place.requested("server").do(place.shell)
    script = "cd /etc/etcd/ca && printf '03\\n' > serial.new && cp index.txt index.txt.new && " + killed
    assert place.shell.run(script, seconds=5).exit == 0
    place.requested("peer").do(place.shell)
    assert place.serials == ["01", "03"]


def test_a_number_that_the_database_has_is_not_given_again(place: Place) -> None:
    """A folder of the CA that was put back from a backup, but for its database."""
    place.requested("server").do(place.shell)
    place.path(ca.SERIAL).write_text("01\n")
    place.requested("peer").do(place.shell)
    assert place.serials == ["01", "02"]


@pytest.mark.parametrize(("text", "says"), [("many\n", "expected a serial"), ("FF" * 20 + "\n", None)])
def test_a_serial_of_another_shape(place: Place, text: str, says: str | None) -> None:
    place.path(ca.SERIAL).write_text(text)
    change = place.requested()
    if says is None:
        assert change.do(place.shell)
        return
    with pytest.raises(ChangeFailed, match=says):
        change.do(place.shell)
    assert place.serials == []


def test_what_openssl_says_is_told(place: Place) -> None:
    place.path(ca.KEY).write_text("no key\n")
    with pytest.raises(ChangeFailed, match="CA private key"):
        place.requested().do(place.shell)
    assert place.serials == []


def test_a_full_disk_does_not_meet_the_database(place: Place, tmp_path: Path) -> None:
    change = place.requested()
    place.shell.stands_in = stand_in(tmp_path / "bin", "df", "echo; echo x 1 1 10 1% /")
    with pytest.raises(ChangeFailed, match="10 KiB of room"):
        change.do(place.shell)


def test_they_are_put_in_place_and_what_was_there_is_kept(place: Place) -> None:
    signed(place)
    place.path(CERT).write_text("old\n")
    assert placing().do(place.shell)
    assert not placing().do(place.shell)
    assert place.read(CERT) == place.read(f"{FOLDER}/peer.crt")
    assert place.read(KEY) == place.read(f"{FOLDER}/peer.key")
    assert place.path(KEY).stat().st_mode & 0o777 == 0o600
    assert place.read(f"{ASIDE}{place.path(CERT)}") == "old\n"
    assert place.issuing == Issuing(True, place.issuing.requests, True)


def test_half_of_them_in_place_is_carried_on(place: Place) -> None:
    """What is kept is what was there first, not what the first attempt had put there."""
    signed(place)
    place.path(CERT).write_text("old\n")
    place.path(CA_FILE).mkdir()
    (place.path(CA_FILE) / "in-the-way").touch()
    with pytest.raises(ChangeFailed):
        placing().do(place.shell)
    assert not place.path(PLACED).exists()
    (place.path(CA_FILE) / "in-the-way").unlink()
    place.path(CA_FILE).rmdir()
    assert placing().do(place.shell)
    assert place.read(f"{ASIDE}{place.path(CERT)}") == "old\n"


def test_what_a_kill_left_beside_a_key_goes(place: Place) -> None:
    """It may be a second copy of the key; it goes when the change is made again, and when it is undone."""
    signed(place)
    left = place.path(f"{KEY}.requorum.new-Ab12Cd")
    left.write_text("PRIVATE\n")
    placing().do(place.shell)
    assert not left.exists()
    left.write_text("PRIVATE\n")
    TakeCertificatesBack(JOINER, ASIDE).do(place.shell)
    assert not left.exists()


def test_nothing_is_put_in_place_that_does_not_fit(place: Place) -> None:
    signed(place)
    MakeRequest(JOINER, "server", JOINER, NAMES).do(place.shell)
    place.path(f"{FOLDER}/peer.key").write_text(place.read(f"{FOLDER}/server.key"))
    with pytest.raises(ChangeFailed, match="is not the key of"):
        placing().do(place.shell)
    assert not place.path(KEY).exists()


def test_a_certificate_of_another_ca_is_not_put_in_place(place: Place, tmp_path: Path) -> None:
    signed(place)
    place.path(f"{FOLDER}/ca-0.crt").write_text(make(tmp_path / "other").read(ca.CERTIFICATE))
    with pytest.raises(ChangeFailed, match="unable to get"):
        placing().do(place.shell)
    assert not place.path(CERT).exists()


def test_they_are_taken_back(place: Place) -> None:
    """What was there comes back, what was not goes; what somebody has changed since stays."""
    signed(place)
    place.path(CERT).write_text("old\n")
    placing().do(place.shell)
    place.path(CA_FILE).write_text("mine\n")
    undo = TakeCertificatesBack(JOINER, ASIDE)
    assert undo.do(place.shell)
    assert not undo.do(place.shell)
    assert (place.read(CERT), place.path(KEY).exists(), place.read(CA_FILE)) == ("old\n", False, "mine\n")
    assert not place.path(TARGETS).exists()
    assert ForgetCertificates(JOINER).do(place.shell)
    assert not ForgetCertificates(JOINER).do(place.shell)
    assert place.issuing == Issuing()


def test_what_a_plan_believes() -> None:
    host = facts(2)
    for change in (MakeRequest(JOINER, "server", JOINER, NAMES), MakeRequest(JOINER, "peer", JOINER, NAMES)):
        host = change.after(host)
    assert host.issuing == Issuing(True, (("server", ""), ("peer", "")))
    assert SignRequest(SIGNER, "peer", JOINER, NAMES, "").after(host) == host
    host = placing().after(host)
    assert host.issuing.placed
    assert ForgetCertificates(JOINER).after(host) == replace(host, issuing=Issuing())
