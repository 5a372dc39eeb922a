"""Several listeners as one."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def to_all(*listeners: Callable[[T], object] | None) -> Callable[[T], None]:
    """One that tells each of them in turn; those that are None are none."""
    told = [listen for listen in listeners if listen is not None]

    def tell(what: T) -> None:
        for listen in told:
            listen(what)

    return tell
