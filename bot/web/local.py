"""The socket file in a state directory: where it is, and by what name the bot there is called."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SOCKET: Final = "control.sock"
HOST: Final = "fundarb"
"""What the command line calls the bot at the other end."""
ORIGIN: Final = f"http://{HOST}"


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Another name of ``path``, which may be longer than the name of a socket can be.

    Raises:
        OSError: its folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
