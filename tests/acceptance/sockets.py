"""Which hosts a process has connections to, as the kernel has them."""

import re
import socket
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_SOCKET = re.compile(r"socket:\[(\d+)\]")


def remote_hosts(pid: int) -> set[str]:
    """The other ends of a process's TCP and UDP sockets; those that only listen have none."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        found = _SOCKET.fullmatch(str(entry.readlink())) if entry.is_symlink() else None
        if found is not None:
            inodes.add(found[1])
    hosts = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address = _address(fields[2].partition(":")[0])
            if fields[9] in inodes and address not in {"0.0.0.0", "::"}:
                hosts.add(address)
    return hosts


def _address(text: str) -> str:
    """The kernel writes words of 32 bits in the machine's own order."""
    raw = bytes.fromhex(text)
    words = [raw[at : at + 4][::-1] for at in range(0, len(raw), 4)]
    if len(words) == 1:
        return str(IPv4Address(socket.inet_ntoa(words[0])))
    address = IPv6Address(b"".join(words))
    return str(address.ipv4_mapped or address)
