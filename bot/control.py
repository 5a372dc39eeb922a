"""How a running bot is asked and told from outside: in its own thread, between two events.

Whoever asks (page, terminal, messenger) puts a question into a ``Control`` from any thread and
waits; the bot answers when it has nothing better to do. Nobody else ever touches its state.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeVar

import msgspec

from bot.engine import Engine
from bot.picture import snapshot
from bot.record import Record

COMMANDS: Final = ("pause", "resume", "close", "flatten", "kill", "reset")
"""The verbs, the same on the command line, the page and the interface."""
_POLL_SECONDS = 0.05

T = TypeVar("T")


class Impossible(ValueError):
    """A command that cannot be obeyed as given. One sentence: why, and what can."""


class Bot(Protocol):
    """A running bot, as far as it can be looked at and told something."""

    @property
    def engine(self) -> Engine: ...

    @property
    def record(self) -> Record: ...

    def steer(self, name: str, argument: str, actor: str) -> None:
        """Have the engine obey: journaled, and its effects on their way, when this returns."""
        ...


class Obeyed(msgspec.Struct, frozen=True):
    """What a command led to: the state after it, and the trades that are still open."""

    command: str
    argument: str
    actor: str
    time_ns: int
    mode: str
    state: str
    limits: tuple[str, ...]
    open_trades: tuple[str, ...]


def phrase(command: str, argument: str, mode: str) -> str:
    """What a person types to confirm: the command and what it is about. Empty: nothing.

    A pause only ever takes risk away and is taken back by one word; everything else is meant.

    >>> phrase("flatten", "", "paper"), phrase("close", "HYPE", "live"), phrase("pause", "", "live")
    ('flatten paper', 'close HYPE', '')
    """
    return "" if command == "pause" else f"{command} {argument or mode}"


def obey(bot: Bot, command: str, argument: str, actor: str) -> Obeyed:
    """Carry out one command; every one is journaled with who gave it.

    ``flatten`` pauses too, or what was closed could be opened again in the next minute.

    Raises:
        Impossible: the pair, the limit or the command is none.
    """
    state = bot.engine.state
    match command:
        case "pause" | "resume" | "kill" if not argument:
            bot.steer(command, "", actor)
        case "flatten" if not argument:
            bot.steer("pause", "", actor)
            bot.steer("flatten", "", actor)
        case "close":
            if argument not in state.open_trades:
                there = ", ".join(state.open_trades) or "none"
                raise Impossible(f"no trade is open on {argument!r}; open: {there}")
            bot.steer("close", argument, actor)
        case "reset":
            if argument not in state.limits.names:
                there = ", ".join(state.limits.names) or "none"
                raise Impossible(f"limit {argument!r} is not tripped; tripped: {there}")
            bot.steer("reset", argument, actor)
        case _:
            raise Impossible(f"no command {command!r} of {argument!r}: {', '.join(COMMANDS)}")
    shown = snapshot(bot.engine)
    return Obeyed(
        command,
        argument,
        actor,
        bot.engine.now_ns,
        shown.mode,
        shown.state,
        state.limits.names,
        tuple(state.open_trades.values()),
    )


class Control:
    """Questions and commands on their way to the bot."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Callable[[Bot], Any], Future[Any], bool]] = SimpleQueue()

    def ask(self, question: Callable[[Bot], T]) -> Future[T]:
        """Have ``question`` answered in the bot's thread. It must change nothing.

        Whoever no longer waits cancels the future; if that succeeds, nothing was done.
        """
        return self._put(question, commands=False)

    def tell(self, command: str, argument: str, actor: str) -> Future[Obeyed]:
        """Have a command obeyed (see ``obey``)."""
        return self._put(lambda bot: obey(bot, command, argument, actor), commands=True)

    def answer(self, bot: Bot) -> None:
        """Answer everything that waits. Called by the bot, between two events.

        Raises:
            whatever keeps a command from being journaled: that ends the bot.
        """
        while True:
            try:
                question, future, commands = self._waiting.get_nowait()
            except Empty:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(question(bot))
            except Exception as error:  # the one who asked is told; a question ends no bot
                future.set_exception(error)
                if commands and not isinstance(error, Impossible):
                    raise

    async def serve(self, bot: Bot) -> None:
        """Answer for ever, as a task among a bot's others."""
        while True:
            self.answer(bot)
            await asyncio.sleep(_POLL_SECONDS)

    def _put(self, question: Callable[[Bot], T], *, commands: bool) -> Future[T]:
        future: Future[T] = Future()
        self._waiting.put((question, future, commands))
        return future
