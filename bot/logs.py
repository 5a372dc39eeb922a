"""Logs: an event name and fields, on one line; coloured for a person, JSON for a program."""

import logging
import re
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import FilteringBoundLogger, Processor

from domain.orders import Fill, FillCause
from domain.time import iso
from execution.facts import (
    CommandGiven,
    Decided,
    Fact,
    LimitCleared,
    LimitTripped,
    MarginIntended,
    OrderDoubted,
    OrderResolved,
    Reconciled,
    Retargeted,
    RunStarted,
    StageChanged,
    known_at,
)

Level = Literal["debug", "info", "warning", "error", "critical"]


def configure(stream: TextIO, *, level: Level = "info") -> None:
    """Send every log line to ``stream`` (standard error: standard output is for answers).

    Where the stream is a terminal, lines are laid out for a person; elsewhere each is one
    JSON object. Libraries that log in the standard way are heard from warnings up.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _for_a_person() if stream.isatty() else _for_a_program()
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _for_a_person() -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _for_a_program() -> list[Processor]:
    return [structlog.processors.format_exc_info, _one_json_object]


def _one_json_object(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Event and time first; ``Decimal`` as a string, an unknown type as its ``repr``."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return msgspec.json.encode(first | dict(event), enc_hook=repr).decode()


def log_decision(logger: FilteringBoundLogger, decided: Decided) -> None:
    """One line: what was decided on a pair, by which figures, and what refused it.

    Rates are fractions per hour, cost and net fractions of notional (see ``Target``);
    ``at`` is the engine's time, which in a simulation is not the line's own.
    """
    target = decided.target
    logger.info(
        "decision",
        pair=target.pair,
        action=target.action,
        reason=target.reason,
        refusals=decided.refusals,
        notional=target.notional,
        forecast_hourly=target.forecast_hourly,
        cost=target.cost,
        expected_net=target.expected_net,
        at=iso(decided.time_ns),
    )


def fact_logger(logger: FilteringBoundLogger) -> Callable[[Fact], None]:
    """What a person or a log store wants to read of the journal: decisions and turning points.

    Orders, fills and payments are in the journal; here they would bury the rest.
    """

    def log(fact: Fact) -> None:
        if isinstance(fact, Decided):
            log_decision(logger, fact)
        elif (level := _level(fact)) is not None:
            fields = {name: value for name, value in _fields(fact).items() if value is not None}
            getattr(logger, level)(_event(fact), **fields, at=iso(known_at(fact)))

    return log


_LEVELS: dict[type, str] = {
    RunStarted: "info",
    StageChanged: "info",
    Retargeted: "info",
    MarginIntended: "info",
    OrderResolved: "info",
    LimitCleared: "info",
    CommandGiven: "warning",
    OrderDoubted: "warning",
    LimitTripped: "warning",
}


def _level(fact: Fact) -> str | None:
    if isinstance(fact, Reconciled):
        return "error" if fact.mismatches else None
    if isinstance(fact, Fill):
        return "error" if fact.cause is not FillCause.ORDER else None
    return _LEVELS.get(type(fact))


def _event(fact: Fact) -> str:
    """``LimitTripped`` is logged as ``limit_tripped``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(fact).__name__).lower()


def _fields(fact: Fact) -> dict[str, Any]:
    return {
        name: getattr(fact, name)
        for name in fact.__struct_fields__
        if name not in ("time_ns", "venue_time_ns", "received_ns", "fee", "plan")
    }
