"""Tells systemd that the work gets on (``Type=notify``, ``WatchdogSec``); else does nothing."""

import os
import socket


def notify(words: str) -> None:
    """Send ``READY=1`` or ``WATCHDOG=1``. A manager that is not there is nobody's trouble."""
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
