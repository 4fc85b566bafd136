"""One lab: bring it up, break it, keep its states, take it down."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from lab import (
    cgroups,
    checksums,
    disks,
    flannel,
    inotify,
    inventory,
    machine,
    masters,
    network,
    pki,
    provision,
    requirements,
    rootfs,
    runtimes,
    saved,
    state,
    wait,
)
from lab.client import Client
from lab.errors import LabError
from lab.parallel import in_parallel
from lab.shell import Completed
from lab.spec import Host, Spec
from lab.state import Record

HOWS = ("dead", "data", "destroyed", "stopped", "masked")
WHOLE = "whole"


class Lab:
    """Hosts that boot, etcd on them, and everything that can happen to them. Hosts are given by name, short or full.

    `hosts` are those of etcd, `machines` all of them: those beside the cluster, too.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.hosts = record.hosts
        self.machines = record.machines
        self.inventory_path = record.directory / "inventory.yaml"
        self.secrets = record.directory / "secrets"
        self.runtime = runtimes.of(record.spec)

    # -- coming and going ------------------------------------------------------------------------------------------

    @classmethod
    def up(cls, spec: Spec, *, say: Callable[[str], None] = lambda text: None) -> Lab:
        """Build and boot a lab, and wait until every member answers linearizable reads.

        A lab of this name that is up and of the same shape is taken as it is. The whole state is saved as `whole`.

        Args:
            spec: what to build.
            say: is told what happens, one line at a time.

        Raises:
            LabError: this machine cannot run a lab, the name is taken by a lab of another shape, etcd did not come up.
        """
        spec.validate()
        requirements.require()
        directory = state.directory_of(spec.name)
        directory.mkdir(parents=True, exist_ok=True)
        with state.locked(directory / "lock", f"the lab {spec.name!r}", wait=False):
            if (directory / "lab.json").exists():
                lab = cls.attach(spec.name)
                if lab.record.spec == spec and lab.inventory_path.exists() and any(map(lab.is_on, lab.machines)):
                    say(f"the lab {spec.name!r} is already there")
                    return lab
                if any(map(lab.is_on, lab.machines)) and lab.inventory_path.exists():
                    raise LabError(
                        f"a lab called {spec.name!r} exists in another shape; take it down first: "
                        f"python -m lab down --name {spec.name}, or give this one another --name"
                    )
                lab._remove_all()  # what an interrupted `up` left
            with state.forgotten_if_refused(spec.name):
                inotify.require(spec.members + spec.masters + spec.nodes)
                say(
                    f"root file system ({spec.release}): {rootfs.path_of(spec.release, spec.topology, spec.has_standins)}"
                )
                root = rootfs.build(spec.release, spec.topology, spec.has_standins)
            with state.locked(state.MACHINE_LOCK, "the list of networks"):
                taken = state.networks()
                record = Record(spec=spec, network=network.free_number(taken), root=str(root))
                record.save()
                network.bridge_up(record)
            lab = cls(record)
            pki.make_all(lab.secrets, lab.machines, spec.user, spec.ssh_port)
            if record.masters:
                masters.make_certificates(lab.secrets, record.masters)
            flannel.make_certificates(lab.secrets, record.with_flannel)
            for host in lab.machines:
                record.disk(host).mkdir(parents=True, exist_ok=True)
                if spec.disk_mib:
                    disks.make(record.disk(host), spec.disk_mib)
                provision.provision(record, host, lab.secrets)
            say(f"booting {', '.join(host.name for host in lab.machines)}")
            for host in lab.machines:
                machine.switch_on(record, host)
            in_parallel(lambda host: machine.wait_reachable(record, host), lab.machines)
            say("waiting for etcd")
            lab.wait_healthy()
            if record.masters:
                say("waiting for the masters")
                masters.wait_ready(lab)
            if spec.flannel:
                say("waiting for Flannel")
                flannel.begin(lab)
            lab.save(WHOLE)
            state.write_atomically(lab.inventory_path, inventory.text(record))
        return lab

    @classmethod
    def attach(cls, name: str = "lab") -> Lab:
        """The lab of this name, as recorded; LabError if there is none."""
        return cls(state.load(name))

    def down(self) -> None:
        """Remove the lab and everything it made, and nothing else; also after a crash at any point."""
        with state.locked(self.record.directory / "lock", f"the lab {self.record.spec.name!r}", wait=False):
            self._remove_all()
            shutil.rmtree(self.record.directory)

    def _remove_all(self) -> None:
        # Another state directory's lab may have been given our number, once our bridge was gone.
        if not network.is_anothers(self.record):
            machine.cut_power(self.record, self.machines)
            cgroups.remove(cgroups.group_of(self.record.spec.name, self.record.network, ""))
            # Last: without it, another lab may be given the number, and with it the names of all of the above.
            network.bridge_down(self.record)
        disks.remove_below(self.record.directory)
        for path in self.record.directory.iterdir():
            # The record goes last: as long as it is there, `down` knows what to look for.
            if path.name in ("lock", "lab.json"):
                continue
            if path.is_dir():
                wait.until(partial(_removed, path), f"{path} is removed", within=10)
            else:
                path.unlink()
        (self.record.directory / "lab.json").unlink()

    # -- looking -----------------------------------------------------------------------------------------------------

    def host(self, name: str | Host) -> Host:
        """The host called `name`: full or short. LabError if there is none."""
        if isinstance(name, Host):
            return name
        for host in self.machines:
            if name in (host.name, host.short):
                return host
        known = ", ".join(host.short for host in self.machines)
        raise LabError(f"the lab {self.record.spec.name!r} has no host {name!r}; it has {known}")

    def is_on(self, host: str | Host) -> bool:
        """Whether the host has power."""
        return machine.is_on(self.record, self.host(host))

    def run(
        self, host: str | Host, command: str, *, timeout: float = 60, stdin: str | None = None, check: bool = True
    ) -> Completed:
        """Run a shell line on the host as root, without SSH.

        Args:
            host: where.
            command: for /bin/bash -c.
            timeout: seconds.
            stdin: text for its standard input.
            check: raise LabError unless it exits with 0.
        """
        return machine.run_inside(self.record, self.host(host), command, timeout=timeout, stdin=stdin, check=check)

    def etcdctl(self, host: str | Host, *arguments: str, timeout: float = 30, check: bool = True) -> Completed:
        """Run etcdctl (v3) on the host against its own member; a single argument is shell text, as in `put a b`."""
        where = self.host(host)
        text = arguments[0] if len(arguments) == 1 else shlex.join(arguments)
        tls = "--cacert /etc/etcd/ca.crt --cert /etc/etcd/peer.crt --key /etc/etcd/peer.key"
        line = f"{self.runtime.etcdctl} --endpoints {where.client_url} {tls} {text}"
        return self.run(where, line, timeout=timeout, check=check)

    def client(self, host: str | Host, timeout: float = 5) -> Client:
        """A client of one member, from outside."""
        return Client(self.host(host).address, self.secrets, timeout)

    def healthy(self, host: str | Host) -> bool:
        """Whether the member on this host answers a linearizable read."""
        client = self.client(host, timeout=1)
        try:
            return client.healthy()
        finally:
            client.close()

    def wait_healthy(self, hosts: Iterable[str | Host] | None = None, within: float = 60) -> None:
        """Wait until every member (or those on `hosts`) answers linearizable reads; seconds."""
        wanted = list(self.hosts) if hosts is None else [self.host(one) for one in hosts]

        def one(host: Host) -> None:
            wait.until(lambda: self.healthy(host), f"etcd on {host.name} answers a linearizable read", within)

        in_parallel(one, wanted)

    def leader(self) -> Host:
        """The host of the leader, which speaks for the cluster.

        Raises:
            LabError: no member says that it leads.
        """
        for host in self.hosts:
            own, led_by = self._ids(host)
            if own and own == led_by:
                return host
        raise LabError("no member says that it leads")

    def lead(self, host: str | Host) -> None:
        """Make a host's member the leader."""
        before, where = self.leader(), self.host(host)
        if before != where:
            self.etcdctl(before, "move-leader", f"{self._ids(where)[0]:x}")

    def _ids(self, host: Host) -> tuple[int, int]:
        """The ID of a host's member and that of its leader; 0 for what it does not say."""
        done = self.etcdctl(host, "endpoint", "status", "-w", "json", check=False)
        if done.returncode:
            return 0, 0
        said = json.loads(done.stdout)[0]["Status"]
        return said["header"]["member_id"], said["leader"]

    # -- power -------------------------------------------------------------------------------------------------------

    def power_off(self, *hosts: str | Host) -> None:
        """Power loss on all of these at once: no shutdown, no word to the peers."""
        machine.cut_power(self.record, tuple(map(self.host, hosts)))

    def boot(self, *hosts: str | Host, wipe: bool = False, new: bool = False, certificates: bool = True) -> None:
        """Give power to hosts that have none, and wait until sshd answers.

        Args:
            hosts: which.
            wipe: empty etcd's data directory first.
            new: as newly installed machines under the same names (same addresses, keys and certificates).
            certificates: `new` ones without etcd's, and without the CA.
        """
        wanted = list(map(self.host, hosts))
        inotify.require(len(wanted))
        for host in wanted:
            if self.is_on(host):
                raise LabError(f"{host.name} is already switched on")
            if new:
                provision.provision(self.record, host, self.secrets, certificates=certificates)
            elif wipe and host in self.hosts:
                provision.empty_data(self.record, host)
        for host in wanted:
            machine.switch_on(self.record, host)
        in_parallel(lambda host: machine.wait_reachable(self.record, host), wanted)

    def destroy_data(self, host: str | Host) -> None:
        """Destroy the contents of etcd's data directory; the host must be without power."""
        where = self.host(host)
        if self.is_on(where):
            raise LabError(f"{where.name} has power; take it first: its etcd would go on with what it has open")
        provision.empty_data(self.record, where)

    def reboot(self, *hosts: str | Host, within: float = 90) -> None:
        """Clean reboot from inside, all at once; returns when sshd answers again."""
        wanted = list(map(self.host, hosts))
        before = {host: machine.boot_id(self.record, host) for host in wanted}
        for host in wanted:
            self.run(host, "systemctl reboot", check=False)

        def back(host: Host) -> bool:
            try:
                return machine.boot_id(self.record, host) != before[host]
            except (LabError, OSError):
                return False  # between two boots

        def one(host: Host) -> None:
            wait.until(lambda: back(host), f"{host.name} has rebooted", within)
            machine.wait_reachable(self.record, host, within)

        in_parallel(one, wanted)

    # -- breaking and mending ----------------------------------------------------------------------------------------

    def break_hosts(self, hosts: Iterable[str | Host], how: str, *, reboot_survivor: bool = False) -> None:
        """Break `hosts`, all at once.

        Args:
            hosts: which.
            how: `dead`: power loss, stays off. `data`: power loss, boots with its data. `destroyed`: power loss, data
                directory emptied, boots. `stopped`: etcd's unit stopped, or its manifest parked. `masked`: stopped and masked.
            reboot_survivor: the other hosts lose power as well, at the same instant, and boot with their data.
        """
        if how not in HOWS:
            raise LabError(f"--how {how!r}: one of {', '.join(HOWS)}")
        broken = list(map(self.host, hosts))
        others = [host for host in self.hosts if host not in broken and self.is_on(host)] if reboot_survivor else []
        if how in ("stopped", "masked"):
            if how == "masked" and not self.runtime.mask:
                raise LabError(f"--how masked: {self.runtime.what} cannot be masked")
            line = self.runtime.stop + (f" && {self.runtime.mask}" if how == "masked" else "")
            in_parallel(lambda host: self.run(host, line), broken)
            self.power_off(*others)
            self.boot(*others)
            return
        self.power_off(*broken, *others)
        if others:
            self.boot(*others)
            # Emptied hosts that boot while no survivor listens found a new cluster with the same ids (seen).
            self.wait_peers_listen(others)
        if how == "destroyed":
            for host in broken:
                self.destroy_data(host)
        if how != "dead":
            self.boot(*broken)

    def wait_peers_listen(self, hosts: Iterable[str | Host], within: float = 60) -> None:
        """Wait until etcd listens for its peers (port 2380) on each of `hosts`; seconds."""

        def one(host: Host) -> None:
            wait.until(lambda: machine.listens(self.record, host, 2380), f"etcd on {host.name} listens on 2380", within)

        in_parallel(one, map(self.host, hosts))

    def heal(self) -> None:
        """Make the cluster whole: with what the hosts hold where that is enough, else as it was after `up`."""
        off = [host for host in self.machines if not self.is_on(host)]
        self.boot(*off)
        in_parallel(lambda host: self.run(host, self.runtime.start), self.hosts)
        if any(one.empty for one in in_parallel(lambda host: saved.look(self, host), self.hosts)):
            self.restore(WHOLE)
            return
        try:
            self.wait_healthy(within=20)
        except LabError:
            self.restore(WHOLE)

    def save(self, name: str) -> None:
        """Keep the present state of all hosts under `name`, replacing what was kept there."""
        saved.save(self, name)

    def restore(self, name: str) -> float:
        """Put a saved state back and boot what had power in it; return how long it took, in seconds."""
        started = time.monotonic()
        saved.restore(self, name)
        return time.monotonic() - started

    def checksums(self) -> dict[str, dict[str, str]]:
        """Host name → what is on it, comparable; see `lab.checksums` for what counts, and `checksums.changes`."""
        return checksums.of_lab(self)

    def ssh_command(self, host: str | Host, command: Iterable[str] = ()) -> list[str]:
        """The ssh command line an operator would type, with the lab's key and known hosts."""
        spec, where = self.record.spec, self.host(host)
        options = ["-o", f"UserKnownHostsFile={self.secrets / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", "IdentitiesOnly=yes", "-i", str(self.secrets / "id_ed25519"), "-p", str(spec.ssh_port)]
        return ["ssh", "-F", os.devnull, *options, f"{spec.user}@{where.address}", *command]

    def fill_disk(self, host: str | Host) -> None:
        """Take all room that is left on the host's disk; it must have a size (`Spec.disk_mib`)."""
        disks.fill(self.record.disk(self.host(host)))

    def make_room(self, host: str | Host) -> None:
        """Give back what `fill_disk` took."""
        disks.make_room(self.record.disk(self.host(host)))

    def data_directory(self, host: str | Host) -> Path:
        """etcd's data directory on the disk of a host without power."""
        return self.record.upper(self.host(host)) / self.record.spec.data_dir.strip("/")


def _removed(folder: Path) -> bool:
    """Remove a folder; False where something was written there meanwhile: a child of a command that was killed lives on."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise
    return not folder.exists()
