"""/etc/sysconfig/flanneld: the endpoints that count are understood, and an edit keeps everything else byte for byte.

In flanneld_confs/ lie golden files: NAME.conf, and NAME.edited.conf, in which etcd-1 is gone and etcd-3 new.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab import flannel as lab_flannel
from lab.spec import Spec, hosts_of
from requorum.facts import env_file, etcd_conf, flanneld_conf
from requorum.facts.flanneld_conf import FlanneldConf, FlanneldConfError

GOLDEN = Path(__file__).parent / "flanneld_confs"
NAMES = sorted(path.name.partition(".")[0] for path in GOLDEN.glob("*.conf") if ".edited." not in path.name)
NEW = "https://etcd-3.example.com:2379"


def read(name: str) -> str:
    return (GOLDEN / name).read_bytes().decode()  # line ends as they are


def parsed(text: str) -> FlanneldConf:
    found = flanneld_conf.parse(text)
    assert found is not None
    return found


def edited(conf: FlanneldConf) -> str:
    return conf.edited(lambda url: "etcd-1" not in url, lambda kept: [] if NEW in kept else [NEW])


@pytest.mark.parametrize("name", NAMES)
def test_golden_files(name: str) -> None:
    conf = parsed(read(f"{name}.conf"))
    assert edited(conf) == read(f"{name}.edited.conf")
    again = parsed(edited(conf))
    assert (again.field, again.line, again.prefix) == (conf.field, conf.line, conf.prefix)
    assert not any("etcd-1" in url for url in again.urls)
    assert edited(again) == again.text


def test_the_golden_files_are_there() -> None:
    assert len(NAMES) >= 5


def test_what_is_read() -> None:
    conf = parsed(read("package.conf"))
    assert (conf.field, conf.line, conf.line_of(conf.urls[0])) == ("FLANNEL_ETCD_ENDPOINTS", 2, 2)
    folder = "/etc/origin/node/flannel.etcd"
    assert (conf.prefix, conf.ca) == ("/openshift.com/network", f"{folder}-ca.crt")
    assert (conf.certificate, conf.key) == (f"{folder}-client.crt", f"{folder}-client.key")
    old = parsed(read("old-spelling.conf"))
    assert (old.field, old.prefix, old.ca) == ("FLANNEL_ETCD", "/openshift.com/network", "")
    assert parsed("FLANNEL_ETCD=http://a:2379\n").prefix == "/coreos.com/network"
    both = parsed(read("both-spellings.conf"))
    assert (both.line, both.urls) == (4, ("https://etcd-1.example.com:2379", "https://etcd-0.example.com:2379"))


@pytest.mark.parametrize("index", range(3))
def test_the_shapes_of_the_lab(index: int) -> None:
    hosts = hosts_of(Spec(flannel=True), 7)
    conf = parsed(lab_flannel.conf(hosts, hosts[index]))
    assert (conf.prefix, len(conf.urls)) == (lab_flannel.PREFIX, 3)
    assert conf.certificate.startswith("/etc/origin/node/")
    assert conf.edited(lambda url: True, lambda kept: []) == conf.text
    back = parsed(conf.edited(lambda url: url == conf.urls[0], lambda kept: []))
    assert back.edited(lambda url: True, lambda kept: conf.urls[1:]) == conf.text


def test_nobody_may_be_left() -> None:
    with pytest.raises(FlanneldConfError, match="FLANNEL_ETCD would name nobody"):
        parsed("FLANNEL_ETCD=http://a:2379\n").edited(lambda url: False, lambda kept: [])


def test_flannel_without_etcd_is_no_concern() -> None:
    assert flanneld_conf.parse('FLANNEL_OPTIONS="--ip-masq --kube-subnet-mgr"\n') is None
    assert flanneld_conf.parse("FLANNEL_OPTIONS=--kube-subnet-mgr=false\nFLANNEL_ETCD=http://a:2379\n") is not None


WHERE = r"/etc/sysconfig/flanneld, line "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", WHERE + r"1: expected FLANNEL_ETCD_ENDPOINTS=https://HOST:2379,… .*found none"),
        ("# only\n# comments\n", WHERE + "2: expected FLANNEL_ETCD_ENDPOINTS"),
        ("# one\nFLANNEL_ETCD=\n", WHERE + "2: expected FLANNEL_ETCD_ENDPOINTS"),
        ("\nexport FLANNEL_ETCD=http://a:2379\n", WHERE + "2: expected NAME=VALUE or a comment"),
        ("FLANNEL_ETCD='http://a:2379\n", WHERE + "1: expected a closing '"),
        ("FLANNEL_ETCD=http://a:2379,\\\nhttp://b:2379\n", WHERE + "1: continued by a backslash"),
        ("FLANNEL_ETCD=a:2379\n", WHERE + "1: expected a url such as .* in FLANNEL_ETCD, found 'a:2379'"),
        ("FLANNEL_ETCD=http://a:2379 # mine\n", WHERE + "1: expected a url"),
        ("FLANNEL_ETCD=http://a:2379 http://b:2379\n", WHERE + "1: expected a url"),
        ("FLANNEL_ETCD=http://a:2379,,http://b:2379\n", WHERE + "1: expected a url .* found ''"),
        ("FLANNEL_ETCD=http://a:2379\nFLANNEL_OPTIONS=-etcd-endpoints=http://b:2379\n",
         WHERE + "2: expected FLANNEL_ETCD_ENDPOINTS alone to say so: the flag wins"),
        ("FLANNEL_ETCD=http://a:2379\nFLANNEL_OPTIONS='--etcd-prefix /x'\n", WHERE + "2: expected FLANNEL_ETCD_PREFIX"),
        ("FLANNEL_ETCD=http://a:2379\nFLANNEL_ETCD_KEY='/a;reboot'\n", WHERE + "2: expected a key of etcd"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_line(text: str, says: str) -> None:
    with pytest.raises(FlanneldConfError, match=says):
        flanneld_conf.parse(text)


def test_positions_are_true() -> None:
    text = "# a\n  A='x y' \r\nB = 1\n".replace("B = 1\n", 'B=""\nC= z\t\n; c\nD=\n')
    found = env_file.assignments(text, "f")
    assert [(one.key, one.value, one.line) for one in found] == [
        ("A", "x y", 2),
        ("B", "", 3),
        ("C", "z", 4),
        ("D", "", 6),
    ]
    assert [text[one.start : one.end] for one in found] == [one.value for one in found]


@pytest.mark.parametrize("name", NAMES)
def test_the_shell_reads_what_python_reads(name: str, tmp_path: Path) -> None:
    """The survey's command needs one value before anything is parsed here."""
    from requorum.facts.shell import CONF

    file = tmp_path / "flanneld"
    file.write_bytes((GOLDEN / f"{name}.conf").read_bytes())
    conf = parsed(read(f"{name}.conf"))
    done = subprocess.run(
        ["bash", "-c", f"{CONF}\nconf {conf.field} {file}"], capture_output=True, text=True, check=True
    )
    assert tuple(url.strip() for url in done.stdout.split(",")) == conf.urls


def test_etcd_conf_says_its_own_name() -> None:
    with pytest.raises(etcd_conf.ConfError, match="/etc/etcd/etcd.conf, line 1: expected NAME=VALUE"):
        etcd_conf.parse("nonsense\n")
