"""Ceph's object gateway on loopback, with a cluster of one monitor and one disk in memory below it, as plain processes.

What it holds lives as long as the disk's process, so an outage is one of the gateway alone: `kill` and `restart`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from tests.processes import wait_for
from tests.s3 import S3, environment

SECONDS_TO_START = 60

# No keys between the processes: they listen on loopback, and live for a few minutes.
_CONFIG = """
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon allow pool size one = true
mon data = {folder}/mon
mon data avail crit = 1
mon cluster log file = {folder}/cluster.log
osd data = {folder}/osd
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
run dir = {folder}
crash dir = {folder}
"""


@dataclass
class Radosgw:
    """A running gateway."""

    config: Path
    port: int
    key: str
    secret: str
    s3: S3
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def kill(self) -> None:
        """SIGKILLs the gateway; what it holds stays."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Starts the gateway, and waits until it answers."""
        self._process = _started("radosgw", "-f", "-n", "client.rgw", "-c", self.config)
        wait_for(lambda: _answers(self._process, self.port), "radosgw does not answer", SECONDS_TO_START)

    def stop(self) -> None:
        if self._process is not None:
            self.kill()


@contextmanager
def radosgw(folder: Path) -> Iterator[Radosgw]:
    """A gateway that keeps its files in a folder, and a user of it in the environment."""
    with ExitStack() as stack:
        port, mon_port = _free_ports(2)
        fsid, disk = str(uuid4()), str(uuid4())
        config = folder / "ceph.conf"
        config.write_text(_CONFIG.format(fsid=fsid, folder=folder, port=port, mon_port=mon_port))
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        monmap = folder / "monmap"
        _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"v1:127.0.0.1:{mon_port}", monmap)
        _run("ceph-mon", "-c", config, "--mkfs", "-i", "a", "--monmap", monmap)
        _running(stack, "ceph-mon", "-f", "-i", "a", "-c", config)
        _run("ceph", "-c", config, "osd", "new", disk)
        _run("ceph-osd", "-c", config, "--mkfs", "-i", "0", "--osd-uuid", disk)
        # now and then a disk ends at once, since it asks the monitor for something before it knows who that is
        wait_for(lambda: _disk_is_up(stack, config), "the disk does not come up", SECONDS_TO_START)
        key, secret = "SIGLANERADOSGW0001", f"{uuid4().hex}/{uuid4().hex}"
        user = ("--uid", "siglane", "--display-name", "siglane", "--access-key", key, "--secret-key", secret)
        _run("radosgw-admin", "-c", config, "-n", "client.rgw", "user", "create", *user)
        stack.enter_context(environment(f"http://127.0.0.1:{port}", key, secret))
        gateway = Radosgw(config, port, key, secret, S3(f"http://127.0.0.1:{port}", key, secret))
        stack.callback(gateway.stop)
        gateway.restart()
        yield gateway


def _run(*command: object) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=SECONDS_TO_START, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def _started(*command: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _running(stack: ExitStack, *command: object) -> subprocess.Popen[bytes]:
    process = _started(*command)

    def end() -> None:
        process.kill()
        process.wait()

    stack.callback(end)
    return process


def _disk_is_up(stack: ExitStack, config: Path) -> bool:
    """Starts the disk; whether it has come up."""
    process = _running(stack, "ceph-osd", "-f", "-i", "0", "-c", config)
    while process.poll() is None:
        if json.loads(_run("ceph", "-c", config, "osd", "stat", "--format", "json"))["num_up_osds"]:
            return True
    return False


def _answers(process: subprocess.Popen[bytes] | None, port: int) -> bool:
    assert process is not None
    assert process.poll() is None, f"radosgw ended with code {process.returncode}"
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except OSError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
