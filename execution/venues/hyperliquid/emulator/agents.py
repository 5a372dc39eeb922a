"""The keys that may trade for the account, and the venue's limits on them."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from domain.time import DAY, MILLISECOND

NAMED_MAX = 3
_LONGEST_MS = 180 * DAY // MILLISECOND
_VALID_UNTIL = re.compile(r"(.*?) ?valid_until (\d{1,15})")

# These texts are UNVERIFIED.
TOO_MANY = "Too many extra agents."
USED = "Extra agent already used."
TOO_LONG = "Invalid agent expiration."


class Agent(msgspec.Struct, frozen=True):
    """``name`` is empty for the unnamed one; ``until_ms`` None is for ever (given at the start)."""

    name: str
    until_ms: int | None


class Agents:
    """One unnamed agent and three named ones. A new one of a name takes the former's place, and
    an address that was ever an agent is none again. Those given at the start are beyond count."""

    def __init__(self, given: Mapping[str, int | None]) -> None:
        self._agents = {
            address.lower(): Agent(f"agent {number}" if until_ms is not None else "", until_ms)
            for number, (address, until_ms) in enumerate(given.items(), 1)
        }
        self._given = frozenset(self._agents)
        self._gone: set[str] = set()

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(self._agents)

    def __contains__(self, address: str) -> bool:
        return address in self._agents

    def may_sign(self, address: str, now_ms: int) -> bool:
        """Up to its last millisecond."""
        agent = self._agents.get(address)
        return agent is not None and (agent.until_ms is None or now_ms <= agent.until_ms)

    def approve(self, address: str, text: str, now_ms: int) -> str | None:
        """Why not; None where it is one from now on. ``text`` is its name, and may end with
        ``valid_until`` and a time in ms."""
        dated = _VALID_UNTIL.fullmatch(text)
        name = text if dated is None else dated[1]
        until_ms = now_ms + _LONGEST_MS if dated is None else int(dated[2])
        if not now_ms < until_ms <= now_ms + _LONGEST_MS:
            return TOO_LONG
        if address in self._gone or address in self._agents:
            return USED
        theirs = {a: agent.name for a, agent in self._agents.items() if a not in self._given}
        former = [a for a, known in theirs.items() if known == name]
        if name and not former and sum(known != "" for known in theirs.values()) >= NAMED_MAX:
            return TOO_MANY
        for gone in former:
            del self._agents[gone]
            self._gone.add(gone)
        self._agents[address] = Agent(name, until_ms)
        return None

    def told(self) -> list[dict[str, Any]]:
        """As ``extraAgents`` tells them: the unnamed one is not among them."""
        return [
            {"name": agent.name, "address": address, "validUntil": agent.until_ms}
            for address, agent in self._agents.items()
            if agent.name
        ]
