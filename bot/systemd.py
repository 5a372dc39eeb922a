"""Tells systemd that the work gets on (``Type=notify``, ``WatchdogSec``); else does nothing."""

import os
import socket


class ServiceManager:
    """Whoever started this process. One that is not there is nobody's trouble."""

    def __init__(self) -> None:
        self._ready = False

    def got_on(self) -> None:
        """The work itself gets on; the first time also that it has begun."""
        _send("WATCHDOG=1" if self._ready else "READY=1\nWATCHDOG=1")
        self._ready = True


def _send(words: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(words.encode(), address)
        except OSError:
            return
