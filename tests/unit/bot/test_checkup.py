"""What the venue says of an account: each thing that would be wrong is found, with its remedy."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bot.checkup import LASTING, Checkup, failed
from bot.finding import Finding
from domain.time import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from execution.ports import Reply, Stream, TransportFailed
from execution.risk.limits import RiskLimits
from execution.venues.hyperliquid.timing import Timing
from tests.unit.bot.feeds.emulated import ACCOUNT, START, Emulated

AGENT = "0x" + "2" * 40
WANTED = {"HYPE": "HYPE"}
Answer = Callable[[Any], Any]


class Altered:
    """The emulated venue, some of whose answers are changed on the way. It is also the clock."""

    def __init__(self, **altered: Answer) -> None:
        self.venue = Emulated(("HYPE",), past_ns=HOUR)
        self.venue.emulator._agents.approve(AGENT, "bot", START // MILLISECOND)
        self.altered = altered
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return self.venue.now_ns + self.ahead_ns

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        reply = await self.venue.request(path, body, timeout_seconds)
        change = self.altered.get(msgspec.json.decode(body)["type"])
        if change is None:
            return reply
        told = change(msgspec.json.decode(reply.body))
        if told is None:
            raise TransportFailed("nothing")
        return Reply(200, msgspec.json.encode(told))

    async def connect(self, path: str, timeout_seconds: float) -> Stream:
        raise AssertionError("it asks, it listens to nothing")


async def found(venue: Altered, wanted: dict[str, str] | None = None) -> dict[str, Finding]:
    timing = Timing(attempts=1)
    checkup = Checkup(venue, ACCOUNT, AGENT, wanted or WANTED, venue, RiskLimits(), timing)
    return {finding.check: finding for finding in await checkup.findings()}


async def test_nothing_is_wrong_with_a_sound_account() -> None:
    findings = await found(Altered())

    assert {finding.status for finding in findings.values()} == {"ok"}, findings
    assert list(findings) == [
        "venue clock", "agent", "mode", "pairs", "data", "prices", "positions", "balance",
    ]  # fmt: skip


async def test_a_restart_asks_only_for_what_would_keep_it_from_acting() -> None:
    venue = Altered(l2Book=lambda _: None, exchangeStatus=lambda _: None)
    checkup = Checkup(
        venue, ACCOUNT, AGENT, WANTED, venue, RiskLimits(), Timing(attempts=1)
    )  # fmt: skip

    assert {f.check for f in await checkup.findings(restart=True)} == LASTING
    assert [pair.name for pair in checkup.listed.pairs] == ["HYPE"]


@pytest.mark.parametrize("skew", [-2, 2])
async def test_a_clock_that_is_wrong_is_found_either_way(skew: int) -> None:
    venue = Altered()
    venue.ahead_ns = skew * SECOND

    finding = (await found(venue))["venue clock"]
    assert finding.status == "failed"
    assert f"is 2.0 s {'ahead of' if skew > 0 else 'behind'} the venue" in finding.detail
    assert "NTP" in finding.fix


def crossed(state: Any) -> Any:
    position = {
        "coin": "ETH", "szi": "1.0", "leverage": {"type": "cross", "value": 20},
        "entryPx": "3000.0", "positionValue": "3000.0", "marginUsed": "150.0",
        "liquidationPx": None,
    }  # fmt: skip
    return state | {"assetPositions": [{"type": "oneWay", "position": position}]}


def ends(in_ns: int) -> Answer:
    until_ms = (START + in_ns) // MILLISECOND
    return lambda _: [{"name": "bot", "address": AGENT, "validUntil": until_ms}]


def aged(book: Any) -> Any:
    return book | {"time": book["time"] - MINUTE // MILLISECOND}


def oracle(factor: float) -> Answer:
    def change(told: Any) -> Any:
        (row,) = told[1]
        return [told[0], [row | {"oraclePx": f"{float(row['oraclePx']) * factor:.4f}"}]]

    return change


def spot_at(factor: float) -> Answer:
    """The books of the spot leg; the perp's are left alone."""

    def change(book: Any) -> Any:
        def moved(levels: Any) -> Any:
            return [level | {"px": f"{float(level['px']) * factor:.4f}"} for level in levels]

        return (
            book if book["coin"] == "HYPE" else book | {"levels": list(map(moved, book["levels"]))}
        )

    return change


@pytest.mark.parametrize(
    ("altered", "check", "status", "said"),
    [
        (
            {"extraAgents": lambda _: [], "userRole": lambda _: {"role": "missing"}},
            "agent", "failed", "is no agent of",
        ),
        (
            {
                "extraAgents": lambda _: [],
                "userRole": lambda _: {"role": "agent", "data": {"user": "0x" + "9" * 40}},
            },
            "agent", "failed", "is no agent of",
        ),
        ({"extraAgents": lambda _: []}, "agent", "ok", "may trade for"),
        ({"extraAgents": ends(-MINUTE)}, "agent", "failed", "has expired"),
        ({"extraAgents": ends(DAY)}, "agent", "warning", "with a new key"),
        ({"extraAgents": ends(90 * DAY)}, "agent", "ok", "may trade until"),
        ({"userAbstraction": lambda _: "dexAbstraction"}, "mode", "failed", "fundarb account mode"),
        ({"userAbstraction": lambda _: "portfolioMargin"}, "mode", "warning", "nothing is entered"),
        ({"l2Book": aged}, "data", "failed", "are 60 s old"),
        ({"l2Book": lambda b: b | {"levels": [[], []]}}, "data", "failed", "has no quotes"),
        ({"metaAndAssetCtxs": oracle(1.05)}, "prices", "ok", "HYPE/USDC is furthest off"),
        ({"metaAndAssetCtxs": oracle(1.2)}, "prices", "failed", "over 10% apart"),
        ({"metaAndAssetCtxs": oracle(0.8)}, "prices", "failed", "over 10% apart"),
        ({"metaAndAssetCtxs": oracle(0)}, "prices", "failed", "the oracle of HYPE-PERP at 0"),
        ({"l2Book": spot_at(0.001)}, "prices", "failed", "they are not one coin"),
        ({"l2Book": spot_at(0.85)}, "prices", "failed", "leave the pair out"),
        ({"clearinghouseState": crossed}, "positions", "failed", "ETH on cross margin"),
        ({"spotClearinghouseState": lambda _: {"balances": []}}, "balance", "failed", "no USDC"),
        (
            {"exchangeStatus": lambda s: s | {"specialStatuses": {"upgrade": 1}}},
            "venue", "warning", "wait until it is over",
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_found_with_its_remedy(
    altered: dict[str, Answer], check: str, status: str, said: str
) -> None:
    finding = (await found(Altered(**altered)))[check]

    assert finding.status == status
    assert said in str(finding)


async def test_a_pair_that_is_not_listed_is_found() -> None:
    findings = await found(Altered(), {"NOSUCH": "NOSUCH"})

    assert findings["pairs"].status == "failed"
    assert "data" not in findings


async def test_prices_of_fewer_perps_than_are_listed_are_no_answer() -> None:
    with pytest.raises(TransportFailed, match="0 prices of 1 perps"):
        await found(Altered(metaAndAssetCtxs=lambda told: [told[0], []]))


@pytest.mark.parametrize("answer", [lambda _: None, lambda _: [1, 2], lambda _: "words"])
async def test_no_answer_is_no_finding(answer: Answer) -> None:
    with pytest.raises(TransportFailed):
        await found(Altered(clearinghouseState=answer))


def test_a_start_that_has_something_to_look_after_waits_for_nothing_that_passes() -> None:
    findings = [
        Finding(name, "failed", "wrong") for name in ("agent", "data", "prices", "venue clock")
    ]

    assert failed(findings, restart=False) == findings
    assert failed(findings, restart=True) == [findings[0]]
    assert "agent" in LASTING
    assert failed([Finding("agent", "warning", "soon")], restart=False) == []
