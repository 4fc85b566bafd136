"""etcd's configuration and unit, in the shape an OpenShift 3.11 installation leaves behind; pure text."""

from __future__ import annotations

from lab.spec import IN_CONTAINERS, Host, Spec

UNIT = """\
[Unit]
Description=Etcd Server
After=network.target
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
WorkingDirectory=/var/lib/etcd/
EnvironmentFile=-/etc/etcd/etcd.conf
User=etcd
# set GOMAXPROCS to number of processors
ExecStart={exec_start}
Restart=on-failure
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""

EXEC_START = {
    # systemd leaves $( alone: only $NAME and ${NAME} are its own. The line ends in a quote, as RHEL's does.
    "bash": '/bin/bash -c "GOMAXPROCS=$(nproc) exec /usr/bin/etcd"',
    "plain": "/usr/bin/etcd",
    "rhel": r'/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\"${ETCD_NAME}\" '
    r'--data-dir=\"${ETCD_DATA_DIR}\" --listen-client-urls=\"${ETCD_LISTEN_CLIENT_URLS}\""',
}


def unit(spec: Spec) -> str:
    """The text of /lib/systemd/system/etcd.service."""
    return UNIT.format(exec_start=EXEC_START[spec.exec_start])


def conf(spec: Spec, hosts: tuple[Host, ...], host: Host) -> str:
    """The text of one host's /etc/etcd/etcd.conf (roles/etcd/templates/etcd.conf.j2, rendered)."""
    quote = '"' if spec.quoted else ""

    def line(key: str, value: str) -> str:
        return f"ETCD_{key}={quote}{value}{quote}"

    cluster = ",".join(f"{one.etcd_name}={one.peer_url}" for one in hosts)
    lines = [
        line("NAME", host.etcd_name),
        line("LISTEN_PEER_URLS", host.peer_url),
        line("DATA_DIR", spec.data_dir.rstrip("/") + "/"),
        "#ETCD_WAL_DIR=",
        "#ETCD_SNAPSHOT_COUNT=10000",
        line("HEARTBEAT_INTERVAL", "500"),
        line("ELECTION_TIMEOUT", "2500"),
        line("LISTEN_CLIENT_URLS", host.client_url),
        "#ETCD_MAX_SNAPSHOTS=5",
        "#ETCD_MAX_WALS=5",
        "#ETCD_CORS=",
        "",
        "",
        "#[cluster]",
        line("INITIAL_ADVERTISE_PEER_URLS", host.peer_url),
        line("INITIAL_CLUSTER", cluster),
        line("INITIAL_CLUSTER_STATE", "new"),
        line("INITIAL_CLUSTER_TOKEN", "etcd-cluster-1"),
        "#ETCD_DISCOVERY=",
        "#ETCD_DISCOVERY_SRV=",
        "#ETCD_DISCOVERY_FALLBACK=proxy",
        "#ETCD_DISCOVERY_PROXY=",
        line("ADVERTISE_CLIENT_URLS", host.client_url),
        "#ETCD_STRICT_RECONFIG_CHECK=false",
        "#ETCD_AUTO_COMPACTION_RETENTION=0",
        # In 3.2, which the images had, v2 is always there, and the liveness probe asks it.
        line("ENABLE_V2", "true")
        if spec.v2 or spec.flannel or spec.topology in IN_CONTAINERS
        else "#ETCD_ENABLE_V2=true",
        line("QUOTA_BACKEND_BYTES", "8589934592"),
        "",
        "#[proxy]",
        "#ETCD_PROXY=off",
        "#ETCD_PROXY_FAILURE_WAIT=5000",
        "#ETCD_PROXY_REFRESH_INTERVAL=30000",
        "#ETCD_PROXY_DIAL_TIMEOUT=1000",
        "#ETCD_PROXY_WRITE_TIMEOUT=5000",
        "#ETCD_PROXY_READ_TIMEOUT=0",
        "",
        "#[security]",
    ]
    for prefix, name in (("", "server"), ("PEER_", "peer")):
        lines += [
            line(f"{prefix}TRUSTED_CA_FILE", "/etc/etcd/ca.crt"),
            line(f"{prefix}CLIENT_CERT_AUTH", "true"),
            line(f"{prefix}CERT_FILE", f"/etc/etcd/{name}.crt"),
            line(f"{prefix}KEY_FILE", f"/etc/etcd/{name}.key"),
            f"#ETCD_{prefix}AUTO_TLS=false",
        ]
    lines += [
        "",
        "#[logging]",
        line("DEBUG", "False"),
        "",
        "#[profiling]",
        "#ETCD_ENABLE_PPROF=false",
        '#ETCD_METRICS="basic"',
        "#",
        "#[auth]",
        "#ETCD_AUTH_TOKEN=simple",
    ]
    return "\n".join(lines) + "\n"
