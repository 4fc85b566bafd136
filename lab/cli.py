"""The lab's command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from lab import inotify, machine, rehearse, requirements, saved, spec, state, writer
from lab.cluster import HOWS, Lab
from lab.errors import LabError
from lab.spec import Host, Spec


def _say(text: str) -> None:
    print(text, flush=True)


def _up(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    wanted = Spec(
        name=arguments.name,
        members=arguments.members,
        user=arguments.user,
        ssh_port=arguments.ssh_port,
        data_dir=arguments.data_dir,
        etcd_names=arguments.etcd_names,
        quoted=arguments.quoted,
        exec_start=arguments.exec_start,
        topology=arguments.topology,
        release=arguments.release,
        disk_mib=arguments.disk_mib,
        flannel=arguments.flannel,
        masters=arguments.masters,
        nodes=arguments.nodes,
    )
    lab = Lab.up(wanted, say=_say)
    _say(f"{len(lab.machines)} host{'s' if len(lab.machines) > 1 else ''} up after {time.monotonic() - started:.1f} s")
    _say(f"inventory: {lab.inventory_path}")


def _status(arguments: argparse.Namespace) -> None:
    if sentence := requirements.forbidden():
        raise LabError(sentence)
    names = state.all_names()
    if not names:
        _say("there is no lab here; run: python -m lab up")
    for name in names:
        try:
            lab = Lab.attach(name)
        except LabError as error:
            _say(f"lab {name}: {error}")
            continue
        _say(f"lab {name}: inventory {lab.inventory_path}; saved states: {', '.join(saved.names(lab)) or 'none'}")
        for host in lab.machines:
            _say(f"  {host.name}  {host.address}  {_state_of(lab, host)}")


def _state_of(lab: Lab, host: Host) -> str:
    """Of one host, for `status`. Others may switch it off, or take its lab down, while it is asked."""
    if lab.is_on(host):
        if host not in lab.hosts:
            return "on; beside the cluster"
        try:
            shown = lab.run(host, lab.runtime.state, check=False)
        except LabError as error:
            if machine.init_pid(lab.record, host) is not None:
                return f"on; {error}"
            if lab.is_on(host):
                return "goes on or off this moment"
        else:
            unit = "/".join(shown.stdout.split()) or "unknown"
            answers = "answers linearizable reads" if lab.healthy(host) else "does not answer linearizable reads"
            return f"on; {lab.runtime.what} {unit}; {answers}"
    since = machine.last_power(lab.record, host)
    return "without power" + (f" ({since})" if since else "")


def _ssh(arguments: argparse.Namespace) -> None:
    command = Lab.attach(arguments.name).ssh_command(arguments.host, arguments.command)
    os.execvp(command[0], command)


def _break(arguments: argparse.Namespace) -> None:
    hosts = [name for name in arguments.hosts.split(",") if name]
    Lab.attach(arguments.name).break_hosts(hosts, arguments.how, reboot_survivor=arguments.reboot_survivor)
    _say(f"{', '.join(hosts)}: {arguments.how}")


def _heal(arguments: argparse.Namespace) -> None:
    Lab.attach(arguments.name).heal()
    _say("every member answers linearizable reads")


def _save(arguments: argparse.Namespace) -> None:
    Lab.attach(arguments.name).save(arguments.state)
    _say(f"saved as {arguments.state}")


def _restore(arguments: argparse.Namespace) -> None:
    seconds = Lab.attach(arguments.name).restore(arguments.state)
    _say(f"{arguments.state} is back after {seconds:.1f} s")


def _boot(arguments: argparse.Namespace) -> None:
    with_certificates = not arguments.no_certificates
    Lab.attach(arguments.name).boot(
        arguments.host, wipe=arguments.wipe, new=arguments.new, certificates=with_certificates
    )
    _say(f"{arguments.host} is up")


def _down(arguments: argparse.Namespace) -> None:
    if state.forget_unmade(arguments.name):
        _say(f"the lab {arguments.name!r} had made nothing yet")
        return
    Lab.attach(arguments.name).down()
    _say(f"the lab {arguments.name!r} is gone")


def _write(arguments: argparse.Namespace) -> None:
    lab = Lab.attach(arguments.name)
    client = writer.Writer(lab, arguments.record)
    done = client.write(arguments.count)
    client.close()
    acknowledged = sum(one.revision is not None for one in done)
    _say(f"{acknowledged} of {len(done)} writes acknowledged; recorded in {arguments.record}")


def _compare(arguments: argparse.Namespace) -> None:
    lab = Lab.attach(arguments.name)
    on = [host for host in lab.hosts if lab.is_on(host)]
    wrong = writer.differences(lab, on)
    if arguments.record is not None:
        for host in on:
            lost = writer.missing(writer.read(arguments.record), writer.read_all(lab, host))
            wrong += [f"{host.short}: {one}" for one in lost]
    if wrong:
        raise LabError("the members' data is not as it should be:\n  " + "\n  ".join(wrong[:50]))
    _say(f"equal data on {len(on)} members" + ("; no acknowledged write is missing" if arguments.record else ""))


def _check(arguments: argparse.Namespace) -> None:
    requirements.require()
    inotify.require(Spec().members)
    _say("a lab can run here")


def _install(arguments: argparse.Namespace) -> None:
    packages = requirements.install()
    _say(f"installed: {', '.join(packages)}" if packages else "nothing is missing")


def _rehearse(arguments: argparse.Namespace) -> int:
    return rehearse.rehearse(arguments.name, _say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Real hosts to rehearse a recovery on.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: object, text: str, *, of_a_lab: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(does=does)
        if of_a_lab:
            added.add_argument("--name", default="lab", help="name of the lab and of its cluster (default: lab)")
        return added

    up = command("up", _up, "build and boot a lab")
    up.add_argument("--members", type=int, default=3, choices=spec.MEMBERS)
    up.add_argument("--user", default="root", choices=spec.USERS, help="ops: logs in and has sudo; root may not log in")
    up.add_argument("--ssh-port", type=int, default=22)
    up.add_argument("--data-dir", default="/var/lib/etcd")
    up.add_argument("--etcd-names", default="host", choices=spec.ETCD_NAMES, help="what ETCD_NAME is")
    up.add_argument("--quoted", action="store_true", help="values in etcd.conf stand in double quotes")
    up.add_argument("--exec-start", default="bash", choices=spec.EXEC_STARTS, help="shape of the unit's ExecStart")
    up.add_argument("--topology", default="external", choices=spec.TOPOLOGIES, help="where etcd runs")
    etcd = "of Debian, and with it etcd: bullseye 3.3, bookworm 3.4 (default), trixie 3.5"
    up.add_argument("--release", default="bookworm", choices=spec.RELEASES, help=etcd)
    up.add_argument("--disk-mib", type=int, default=0, help="size of each host's disk; 0: it shares this machine's")
    up.add_argument("--flannel", action="store_true", help="a flanneld (a stand-in) on every host")
    up.add_argument(
        "--masters", type=int, default=0, help="OpenShift masters (stand-ins) on so many hosts of their own"
    )
    up.add_argument("--nodes", type=int, default=0, help="so many hosts that have Flannel alone")
    command("status", _status, "show all labs here", of_a_lab=False)
    ssh = command("ssh", _ssh, "log in to a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    broken = command("break", _break, "break hosts, abruptly and all at once")
    broken.add_argument("--hosts", required=True, help="as in etcd-1,etcd-2")
    broken.add_argument("--how", required=True, choices=HOWS)
    broken.add_argument("--reboot-survivor", action="store_true", help="the other hosts lose power too, and boot again")
    command("heal", _heal, "make the cluster whole again")
    command("save", _save, "keep the state of all hosts").add_argument("state")
    command("restore", _restore, "put a kept state back").add_argument("state")
    boot = command("boot", _boot, "give power to a dead host")
    boot.add_argument("host")
    boot.add_argument("--wipe", action="store_true", help="with an empty data directory")
    boot.add_argument("--new", action="store_true", help="as a newly installed host under the same name")
    boot.add_argument(
        "--no-certificates", action="store_true", help="with --new: without etcd's certificates and the CA"
    )
    write = command("write", _write, "write keys and record every acknowledgement")
    write.add_argument("--count", type=int, default=200)
    write.add_argument("record", type=Path, help="JSON-lines file, appended to")
    compare = command("compare", _compare, "compare the members key by key, and with the acknowledgements")
    compare.add_argument("record", type=Path, nargs="?", help="what `write` recorded")
    command("down", _down, "remove a lab and everything it made")
    text = "build a lab, break its quorum, run the runbook, compare the data, take the lab down"
    rehearsal = command("rehearse", _rehearse, text, of_a_lab=False)
    rehearsal.add_argument(
        "--name", default=rehearse.NAME, help=f"of the lab, made for this (default: {rehearse.NAME})"
    )
    command("check", _check, "say whether a lab can run here", of_a_lab=False)
    command("install", _install, "install the Debian packages a lab needs", of_a_lab=False)
    return parser


def main(words: list[str]) -> int:
    """Run one command; return its exit code (0; 1: not done, with the reason on stderr; 2: wrong command line).

    `rehearse` returns the runbook's exit code where that is not 0.
    """
    arguments = _parser().parse_args(words)
    code: int | None = None
    try:
        code = arguments.does(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        if not (sentence := requirements.forbidden()):
            raise
        print(f"lab: {sentence} ({error.filename}: {error.strerror})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if arguments.does is _rehearse:
            print("lab: interrupted; the lab of the rehearsal is gone", file=sys.stderr)
        else:
            print("lab: interrupted; nothing was cleaned up: python -m lab down", file=sys.stderr)
        return 130
    return code or 0
