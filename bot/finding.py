"""What a look at a machine or an account comes to, line by line."""

from typing import Literal, NamedTuple

Status = Literal["ok", "warning", "failed"]


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and the remedy where one is needed."""

    check: str
    status: Status
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}" + (f": {self.fix}" if self.fix else "")
