"""Which etcd the start path runs, and its version, on a folder that stands for the host's root; programs are stand-ins."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from requorum.changes import scratch
from requorum.facts import machine
from requorum.facts.process import LIVES
from requorum.facts.runtime import ASIDE, ETCD, FIND, MANIFEST, NO_TOOLS, OF_IMAGE, PARKED, SYSTEMD_PATH, TOOL, TOOLS

CONTAINER = "/etc/systemd/system/etcd_container.service"
UNIT = "/usr/bin/etcd"
OTHER = "/usr/local/bin/etcd"
ARGV = "{{ path={0} ; argv[]={1} ; ignore_errors=no ; start_time=[n/a] }}"
DOCKER = ARGV.format(
    "/usr/bin/docker", f"/usr/bin/docker run --rm -v /var/lib/etcd/:/var/lib/etcd/:z --entrypoint={UNIT} IMAGE"
)


class Host:
    """`path`: the folders in its PATH. No process of the machine that runs the tests is seen."""

    def __init__(self, root: Path) -> None:
        self.root, self.path, self.shown = root, ["/usr/local/bin", "/usr/bin"], ""
        self.log = "etcdmain: etcd Version: 3.2.26"
        self.put("/proc/1/comm", "systemd\n")
        (root / "tools").mkdir()
        for tool in ("cat", "grep", "sed", "tail"):  # and no etcd that the machine may have
            (root / "tools" / tool).symlink_to(str(shutil.which(tool)))

    def _at(self, path: str) -> str:
        return f"{self.root}{path}"

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
        at.chmod(mode)

    def program(self, path: str, version: str) -> None:
        said = "etcd Version" if path.rpartition("/")[2] != "etcdctl" else "etcdctl version"
        self.put(path, f"#!/bin/bash\nprintf '%s\\n' '{said}: {version}' 'Git SHA: Not provided'\n", 0o755)

    def lives(self, version: str, *, apart: bool = True) -> None:
        """An etcd process, with a root of its own or the host's."""
        self.put("/proc/7/comm", "etcd\n")
        if apart:
            self.program("/proc/7/root/usr/bin/etcd", version)
            self.program("/proc/7/root/usr/bin/etcdctl", version)
        else:
            (self.root / "proc/7/root").symlink_to(self.root)

    def say(self, script: str, *before: str) -> subprocess.CompletedProcess[str]:
        script = script.replace(f"={SYSTEMD_PATH};", f"={':'.join(map(self._at, SYSTEMD_PATH.split(':')))};")
        for path in ("/etc/", "/var/lib/requorum", "/proc/[0-9]*/comm"):
            script = script.replace(path, self._at(path))
        script = script.replace('root" -ef /', f'root" -ef {self.root}')
        shown = self.shown.replace("/usr/", f"{self.root}/usr/").replace("/opt/", f"{self.root}/opt/")
        functions = f"systemctl() {{ [ -z '{shown}' ] || printf '%s\\n' 'ExecStart={shown}'; }}\n"
        path = ":".join(map(self._at, [*self.path, "/tools"]))
        return subprocess.run(
            ["/bin/bash"], input="\n".join([*before, functions, script]), text=True, capture_output=True, check=False,
            env={"PATH": path},
        )  # fmt: skip

    @property
    def binary(self) -> str:
        return self.say(f"{FIND}{TOOL}{ETCD}\netcd_binary").stdout.strip().replace(str(self.root), "")

    @property
    def versions(self) -> dict[str, str]:
        """As the survey reads them."""
        of_log = f'etcd_log() {{ echo "{self.log}"; }}'
        shown = "find_runtime\nshown=$'\\n'$(systemctl)\n"
        said = self.say(f"{FIND}{TOOL}{ETCD}\n{of_log}\n{shown}{machine._VERSIONS}")
        assert said.stderr == ""
        return dict(line.split("=") for line in said.stdout.split())

    def tried(self, version: str) -> subprocess.CompletedProcess[str]:
        return self.say(f"{TOOL}{scratch.SAME}\nsame_etcd {version}")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    found.program(OTHER, "3.5.16")
    return found


@pytest.mark.parametrize(
    ("binary", "argv"),
    [
        (UNIT, UNIT),
        (UNIT, f'/bin/bash -c "GOMAXPROCS=$(nproc) {UNIT} --name=\\"${{ETCD_NAME}}\\" --data-dir=/var/lib/etcd"'),
        ("/usr/sbin/etcd-3.4.23", "/usr/sbin/etcd-3.4.23"),
        ("/opt/etcd-v3.4.23-linux-amd64/etcd", "/opt/etcd-v3.4.23-linux-amd64/etcd --name a"),
    ],
)
def test_of_a_service_it_is_that_of_its_unit(host: Host, binary: str, argv: str) -> None:
    """Another one lies first in PATH."""
    host.program(binary, "3.4.23")
    host.shown = ARGV.format(argv.split()[0], argv)
    assert host.binary == binary
    assert host.versions["etcd"] == "3.4.23"
    assert host.tried("3.4.23").stdout.strip().endswith(binary)


def test_a_shell_in_the_unit_looks_where_systemd_says(host: Host) -> None:
    host.program("/opt/bin/etcd", "3.3.25")
    host.path = ["/opt/bin"]
    host.shown = ARGV.format("/bin/sh", '/bin/sh -c "exec etcd"')
    assert host.binary == OTHER


def test_without_a_unit_it_is_what_is_there(host: Host) -> None:
    host.program("/opt/bin/etcd", "3.3.25")
    host.path = ["/opt/bin"]
    assert host.binary == "/opt/bin/etcd"


@pytest.mark.parametrize("kind", ["container", "static-pod", "etcd.service"])
@pytest.mark.parametrize("from_", ["kept", "living"])
def test_of_an_image_it_is_the_image_s(host: Host, kind: str, from_: str) -> None:
    """The host has others in its PATH: `/usr/bin/etcd`, too, which stands behind `--entrypoint`."""
    host.program(UNIT, "3.3.25")
    of_image(host, kind)
    if from_ == "kept":
        kept(host)
    else:
        host.lives("3.4.23")
    assert host.binary == {"kept": f"{TOOLS}/etcd", "living": "/proc/7/root/usr/bin/etcd"}[from_]
    assert host.versions["etcd"] == "3.4.23"
    assert host.tried("3.4.23").returncode == 0


def kept(host: Host, image: str = "IMAGE") -> None:
    host.program(f"{TOOLS}/etcd", "3.4.23")
    host.put(OF_IMAGE, f"{image}\n")


def of_image(host: Host, kind: str) -> None:
    if kind == "static-pod":
        host.put(MANIFEST, "    image: IMAGE\n")
    else:
        host.shown = DOCKER
        if kind == "container":
            host.put(CONTAINER, "")


@pytest.mark.parametrize("kind", ["container", "static-pod", "etcd.service"])
@pytest.mark.parametrize("lives", [True, False])
def test_an_etcd_of_the_host_itself_is_not_the_image_s(host: Host, kind: str, lives: bool) -> None:
    """Our own `etcd --version` is one, for a moment. The log tells the version where no container lives."""
    of_image(host, kind)
    if lives:
        host.lives("", apart=False)
    assert host.binary == ""
    assert host.versions["etcd"] == "3.2.26"


def test_the_versions_of_a_host_without_any(host: Host) -> None:
    (host.root / OTHER.lstrip("/")).unlink()
    assert host.versions == {"etcd": "", "etcd_from": "", "etcdctl": ""}
    of_image(host, "container")
    assert host.versions == {"etcd": "3.2.26", "etcd_from": "", "etcdctl": "3.2.26"}
    host.program("/usr/bin/etcdctl", "3.5.16")
    assert host.versions == {"etcd": "3.2.26", "etcd_from": "", "etcdctl": "3.5.16"}


@pytest.mark.parametrize("kind", ["container", "static-pod", "etcd.service"])
@pytest.mark.parametrize("when", ["before its etcd is asked", "before its etcdctl is asked"])
def test_a_container_ends_while_its_versions_are_read(host: Host, kind: str, when: str) -> None:
    """An emptied member's starts again and again: its etcdctl was found, and did not run, and the host was refused."""
    of_image(host, kind)
    host.lives("3.4.23")
    host.log = "etcdmain: etcd Version: 3.4.23"
    says = "" if when == "before its etcd is asked" else "echo etcd Version: 3.4.23"
    host.put("/proc/7/root/usr/bin/etcd", f"#!/bin/bash\n{says}\n{shutil.which('rm')} -r {host.root}/proc/7\n", 0o755)
    assert host.versions == {"etcd": "3.4.23", "etcd_from": "", "etcdctl": "3.4.23"}


@pytest.mark.parametrize("image_lacks_it", [True, False])
def test_an_etcdctl_that_lives_and_does_not_run(host: Host, image_lacks_it: bool) -> None:
    of_image(host, "static-pod")
    host.lives("3.4.23")
    if image_lacks_it:
        (host.root / "proc/7/root/usr/bin/etcdctl").unlink()
    else:
        host.put("/usr/bin/etcdctl", "#!/bin/bash\nexit 1\n", 0o755)
    assert host.versions == {"etcd": "3.4.23", "etcd_from": "", "etcdctl": ""}


@pytest.mark.parametrize("kind", ["container", "static-pod", "etcd.service"])
def test_an_etcd_of_the_host_itself_tells_only_where_the_image_s_could_not_be_had(host: Host, kind: str) -> None:
    """Without a container and a log (master-logs says nothing, with exit 0): it would be taken for the member's."""
    of_image(host, kind)
    host.log = ""
    assert host.versions == {"etcd": "", "etcd_from": "", "etcdctl": ""}
    host.put(NO_TOOLS, "7")
    assert host.versions == {"etcd": "3.5.16", "etcd_from": "host", "etcdctl": ""}
    read = machine.parse_versions(host.say(machine.VERSIONS_COMMAND).stdout, known())
    assert (read.etcd_version, read.etcd_of_host, known().etcd_of_host) == ("3.5.16", True, False)


@pytest.mark.parametrize("at", [MANIFEST, PARKED])
@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("    image: q.io/etcd:3.4\n", True),
        ('{"image":"q.io/etcd:3.4","name":"etcd"}', True),
        ("containers: [{image: 'q.io/etcd:3.4', name: etcd}]\n", True),
        ("    image: q.io/etcd:3.4.30\n", False),
        ("    # image: q.io/etcd:3.4\n    image: r.io/etcd:3.4\n", False),
        ("    image: r.io/etcd:3.4  # not q.io/etcd:3.4\n", False),
    ],
)
def test_what_was_kept_of_another_image_decides_nothing(host: Host, at: str, text: str, same: bool) -> None:
    """The right image was written into the manifest, as step 20 said, and the version of the old one refused it for ever."""
    kept(host, "q.io/etcd:3.4")
    host.put(at, text)
    host.log = ""
    assert (host.binary, host.versions["etcd"]) == ((f"{TOOLS}/etcd", "3.4.23") if same else ("", ""))


def test_an_old_manifest_that_was_put_aside_has_no_say(host: Host) -> None:
    kept(host)
    host.put(PARKED, "image: NEW\n")
    host.put(ASIDE, "image: IMAGE\n")
    assert host.binary == ""


@pytest.mark.parametrize(("image", "same"), [("IMAGE", True), ("IMAG", False), ("", True)])
def test_what_was_kept_of_another_container_s_image(host: Host, image: str, same: bool) -> None:
    """Where nobody could tell the image, a script of somebody's runs it: it may be the same one."""
    of_image(host, "container")
    kept(host, image)
    assert host.binary == (f"{TOOLS}/etcd" if same else "")


def test_versions_by_themselves(host: Host) -> None:
    """As a step reads them that has just kept the tools."""
    of_image(host, "static-pod")
    kept(host)
    host.program(f"{TOOLS}/etcdctl", "3.4.23")
    said = host.say(machine.VERSIONS_COMMAND)
    found = machine.parse_versions(said.stdout, known())
    assert (said.stderr, found.etcd_version, found.etcdctl_version) == ("", "3.4.23", "3.4.23")
    with pytest.raises(ValueError, match="expected the versions of etcd and etcdctl"):
        machine.parse_versions("", known())


def known() -> machine.Machine:
    return machine.Machine(0, "a", "", "", 0.0, frozenset(), "", "", 0, 0, True, (), False, 0)


def test_another_version_than_the_surveyed_one_is_not_tried(host: Host) -> None:
    host.program(UNIT, "3.4.23")
    host.shown = ARGV.format(UNIT, UNIT)
    said = host.tried("3.4.30")
    assert (said.returncode, said.stdout) == (1, "")
    for words in (
        "expected etcd 3.4.30 to try the copy with",
        f"{UNIT}, version 3.4.23:",
        "Run the same command again",
    ):
        assert words in said.stderr


def test_the_host_s_own_is_tried_where_the_image_s_cannot_be_had_if_it_is_of_that_version(host: Host) -> None:
    of_image(host, "container")
    assert host.tried("3.5.16").stdout.strip().endswith(OTHER)
    assert f"{OTHER}, version 3.5.16:" in host.tried("3.4.23").stderr
    host.lives("")  # of an image whose etcd does not run on this host
    assert host.tried("3.5.16").stdout.strip().endswith(OTHER)
    assert (
        f"/proc/7/root/usr/bin/etcd, version unknown and {host.root}{OTHER}, version 3.5.16:"
        in host.tried("3.4.23").stderr
    )
    (host.root / "proc/7/comm").unlink()
    (host.root / OTHER.lstrip("/")).unlink()
    assert "found none: another" in host.tried("3.4.23").stderr


@pytest.mark.parametrize(
    ("cmdline", "lives"),
    [("etcd\0--version\0", "1"), ("etcd\0", "0"), ("etcd\0--name\0m0\0", "0"), ("", "0"), (None, "0")],
)
def test_an_etcd_that_says_its_version_is_no_living_one(host: Host, cmdline: str | None, lives: str) -> None:
    """The survey asks for it in one job, and another job of it took that process for the member."""
    host.put("/proc/7/comm", "etcd\n")
    if cmdline is not None:
        host.put("/proc/7/cmdline", cmdline)
    said = host.say(f"{LIVES}\netcd_lives; echo $?")
    assert (said.stdout.strip(), said.stderr) == (lives, "")
