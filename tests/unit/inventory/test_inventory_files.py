"""Files that are no inventory at all, and files of which nobody knows what they are."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from requorum.inventory import InventoryError, load

HERE = Path(__file__).parent
SEEDS = [path.read_bytes() for path in sorted((HERE / "good").iterdir())]
TOKENS = (
    "cluster",
    "etcd",
    "hosts",
    "ssh",
    "port",
    ": ",
    ":",
    "\n",
    "\n  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!!python/name:os.system ",
    "'",
    '"',
    "? ",
    "~",
    "1",
    "yes",
    "\t",
    "# ",
    "---\n",
    "| \n",
    "> \n",
    "%YAML 1.1\n",
    "a.example.com",
    "=",
    "\\",
    "\x07",
    "é",
    "0x1F",
    "1:30",
    "2024-01-01",
)


def refusal(path: Path) -> InventoryError:
    with pytest.raises(InventoryError) as caught:
        load(path)
    return caught.value


@pytest.mark.parametrize(
    ("data", "line", "found", "fix"),
    [
        (b"", 1, "an empty file", "inventories/external.yaml"),
        (b" \n\n", 1, "an empty file", "inventories/external.yaml"),
        (b"cluster: a\n\x7fELF\0\0", 2, "binary data", "right file"),
        ("cluster: prod\n".encode("utf-16"), 1, "UTF-16", "save the file as UTF-8"),
        ("cluster: x\nuser: größe\n".encode("latin-1"), 2, "the byte 0xf6", "save the file as UTF-8"),
        (b"cluster: a\xed\xa0\x80\n", 1, "half of a character", "remove it"),
        (b"cluster: a\n# \x1b[31m\n", 2, "a control character", "cat -A"),
        (b"[" * 5000, 1, "hundreds of levels", "external.yaml"),
        (b"# " + b"x" * (1 << 18), 1, "262146 bytes", "right file"),
    ],
    ids=["empty", "blank", "binary", "utf-16", "latin-1", "surrogate", "control", "deep", "large"],
)
def test_what_is_no_yaml(tmp_path: Path, data: bytes, line: int, found: str, fix: str) -> None:
    path = tmp_path / "prod.yaml"
    path.write_bytes(data)
    (problem,) = refusal(path).problems
    assert (problem.path, problem.line, problem.field) == (path, line, "inventory")
    assert found in problem.found
    assert fix in problem.fix


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "prod.yaml").write_text("cluster: a\n")
    assert str(refusal(tmp_path / "prod.yml")) == (
        f"{tmp_path}/prod.yml:1: inventory: expected a file, found nothing of this name; "
        f"fix: did you mean {tmp_path}/prod.yaml?"
    )
    assert "external.yaml" in str(refusal(tmp_path / "zzz"))
    assert "cannot be read either" in str(refusal(tmp_path / "no-folder/prod.yaml"))


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    assert "found a directory" in str(refusal(tmp_path))
    assert "found a pipe or a device" in str(refusal(tmp_path / "pipe"))
    assert "found a pipe or a device" in str(refusal(Path("/dev/zero")))
    assert "symbolic links" in str(refusal(tmp_path / "circle"))
    assert "File name too long" in str(refusal(tmp_path / ("x" * 300)))
    assert "null" in str(refusal(Path("a\0b")))
    (tmp_path / "prod.yaml").write_text("cluster: a\n")
    assert "Not a directory" in str(refusal(tmp_path / "prod.yaml/prod.yaml"))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prod.yaml"
    path.write_text("cluster: a\n")

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    assert "found permission denied; fix: run as a user that may read it" in str(refusal(path))


def login(folder: Path, field: str, data: bytes) -> Path:
    """An inventory whose `field` in `ssh` names a file with this in it."""
    (folder / "file").write_bytes(data)
    path = folder / "prod.yaml"
    path.write_text(f"cluster: a\nssh: {{{field}: file}}\netcd: {{hosts: {{a: {{}}}}}}\n")
    return path


KEY = Ed25519PrivateKey.generate()
OPENSSH = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
PUBLIC = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


@pytest.mark.parametrize(
    ("data", "found", "fix"),
    [
        (PUBLIC + b" ops\n", "a public key", "without .pub"),
        (b"", "which is empty", "a key that the hosts accept"),
        (b" \n", "which is empty", "a key that the hosts accept"),
        (b"garbage\n", "no private key", "a key that the hosts accept"),
        (bytes(range(256)), "no private key", "a key that the hosts accept"),
        (OPENSSH[:150], "or a damaged one", "a key that the hosts accept"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "a key of PuTTY's kind", "-O private-openssh"),
    ],
    ids=["public", "empty", "blank", "garbage", "binary", "cut off", "putty"],
)
def test_an_identity_file_without_a_private_key(tmp_path: Path, data: bytes, found: str, fix: str) -> None:
    (problem,) = refusal(login(tmp_path, "identity_file", data)).problems
    assert (problem.line, problem.field) == (2, "ssh.identity_file")
    assert found in problem.found
    assert str(tmp_path / "file") in problem.found
    assert fix in problem.fix


@pytest.mark.parametrize(
    "data",
    [
        OPENSSH,
        KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"secret")),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    ],
    ids=["open", "locked", "locked PEM"],
)
def test_a_private_key_is_one_locked_or_not(tmp_path: Path, data: bytes) -> None:
    assert load(login(tmp_path, "identity_file", data)).host("a").ssh.identity_file == tmp_path / "file"


@pytest.mark.parametrize("data", [b"garbage\n", b"a ssh-ed25519 AAAA!\n", bytes(range(256)), b"a ssh-rsa AAAA\n# no\n"])
def test_a_known_hosts_file_that_names_no_key(tmp_path: Path, data: bytes) -> None:
    (problem,) = refusal(login(tmp_path, "known_hosts", data)).problems
    assert (problem.line, problem.field) == (2, "ssh.known_hosts")
    assert "no line names the key of a host" in problem.found


@pytest.mark.parametrize(
    "data",
    [b"", b"# nobody yet\n\n", b"garbage\na,b " + PUBLIC, b"|1|x=|y= " + PUBLIC + b" ops\n", b"@revoked * " + PUBLIC],
    ids=["empty", "comment", "one line is right", "hashed", "revoked"],
)
def test_a_known_hosts_file_may_be_empty_or_damaged_in_part(tmp_path: Path, data: bytes) -> None:
    assert load(login(tmp_path, "known_hosts", data)).host("a").ssh.known_hosts == tmp_path / "file"


def test_nothing_in_a_message_can_drive_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "pr\x1b[31mod.yaml"
    path.write_text('"clu\\e[2Jster": 1\n"x\\ny": "\\u202e"\ncluster: "\\e]0;x\\a"\netcd: {hosts: {"a\\eb": {}}}\n')
    error = refusal(path)
    assert all(line.isprintable() for line in str(error).split("\n"))
    assert len(str(error).split("\n")) == len(error.problems) == 4


def test_names_with_characters_that_do_not_show(tmp_path: Path) -> None:
    """It is said which: the eye finds nothing, and advice about letters and digits would lead nowhere."""
    path = tmp_path / "prod.yaml"
    path.write_text(
        'cluster: a\n"back\u200bup": {}\netcd: {hosts: {"a\u202eb": {}, "c\\ud800": {}, "\\a\\b\\u200b\\e": {}}}\n'
    )
    field, *names = refusal(path).problems
    assert field.fix.startswith("remove what does not show: U+200B (ZERO WIDTH SPACE);")
    assert [name.expected for name in names] == ["a host name of characters that show"] * 3
    assert [name.fix.partition(": ")[2].partition(";")[0] for name in names] == [
        "U+202E (RIGHT-TO-LEFT OVERRIDE)",
        "U+D800 (half of a character)",
        "U+0007 (a control character), U+0008 (a control character), U+200B (ZERO WIDTH SPACE), more",
    ]


def test_an_error_survives_pickling(tmp_path: Path) -> None:
    error = refusal(tmp_path / "prod.yaml")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_merges_of_merges_end_in_good_time(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    levels = ["    h0: &h0 {lost: no, address: a0}"]
    levels += [f"    h{n}: &h{n} {{<<: [{', '.join([f'*h{n - 1}'] * 200)}], address: a{n}}}" for n in range(1, 50)]
    path.write_text("cluster: a\netcd:\n  hosts:\n" + "\n".join(levels) + "\n")
    assert {problem.expected for problem in refusal(path).problems} == {"a merge that ends"}


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_give_an_inventory_error_or_an_inventory(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "x.yaml"
    for _ in range(15):
        path.write_bytes(some_bytes(chance))
        told = "fine"
        try:
            load(path)
        except InventoryError as error:
            told = str(error)
        assert all(line and line.isprintable() for line in told.split("\n"))


def some_bytes(chance: random.Random) -> bytes:
    """Noise, a soup of YAML's tokens, or a good inventory with a few bytes or lines changed."""
    kind = chance.randrange(3)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return "".join(chance.choices(TOKENS, k=chance.randrange(60))).encode()
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        data[at : at + chance.randrange(4)] = chance.choice(TOKENS).encode()
    return bytes(data)
