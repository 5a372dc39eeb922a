"""Everything the core reacts to."""

import msgspec

from domain.account import (
    AccountReport,
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMoved,
    SettingRefused,
)
from domain.market import PublicEvent
from domain.orders import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderFenced,
    OrderRejected,
    OrderReport,
    SendFailed,
)


class Timer(msgspec.Struct, frozen=True, tag=True):
    """Time has come to ``received_ns``: something that was waited for is due."""

    received_ns: int


class Command(msgspec.Struct, frozen=True, tag=True):
    """pause, resume, close PAIR, flatten, kill, reset LIMIT: from the operator ``actor``."""

    command: str
    argument: str
    actor: str
    received_ns: int


class Reconnected(msgspec.Struct, frozen=True, tag=True):
    """``public``, ``private`` or the reading of the ``account`` is there (again): what happened
    meanwhile was told to nobody."""

    stream: str
    received_ns: int


class Trouble(msgspec.Struct, frozen=True, tag=True):
    """Something outside the core trips ``limit``, until a person resets it."""

    limit: str
    detail: str
    received_ns: int


PrivateEvent = (
    OrderAccepted
    | OrderRejected
    | OrderCanceled
    | CancelRejected
    | SendFailed
    | Fill
    | OrderReport
    | OrderFenced
    | AccountReport
    | FundingPayment
    | Cashflow
    | LeverageConfirmed
    | MarginMoved
    | SettingRefused
)
"""What a venue tells the account's owner."""

Event = PublicEvent | PrivateEvent | Reconnected | Trouble | Timer | Command
