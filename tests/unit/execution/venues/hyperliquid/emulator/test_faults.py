"""What a file of faults may say, and what then happens to whom."""

import pytest

from domain.time import SECOND
from execution.venues.hyperliquid.emulator.faults import Fault, Faults, read_faults

ORDER = b'{"action":{"type":"order"},"nonce":1}'
CANCEL = b'{"action":{"type":"cancelByCloid"},"nonce":1}'


def test_a_file_is_read() -> None:
    toml = b"""
[[fault]]
kind = "error"        # 502, and the order was taken
type = "order"
chance = 0.2
after = 10
for = 30

[[fault]]
kind = "half_open"
on = "/ws"
every = 60
"""
    assert read_faults(toml) == (
        Fault("error", type="order", chance=0.2, after=10, lasting=30),
        Fault("half_open", on="/ws", every=60),
    )


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (b'[[fault]]\nkind = "flood"', "flood"),
        (b'[[fault]]\nkind = "drop"\nforr = 3', "forr"),
        (b'[[fault]]\nkind = "drop"\non = "/ws"', "drop happens on /info or /exchange"),
        (b'[[fault]]\nkind = "disconnect"', "disconnect happens on /ws"),
        (b'[[fault]]\nkind = "drop"\nchance = 2', "<= 1"),
        (b'[[fault]]\nkind = "error"\nstatus = 200', ">= 400"),
        (b"[[fault]]\nkind = ", "nvalid"),
        (b"[faults]", "faults"),
    ],
)
def test_what_a_file_may_not_say_is_said(toml: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_faults(toml)


def at(faults: Faults, seconds: float, body: bytes = ORDER, path: str = "/exchange") -> bool:
    return faults.of_request(path, body, int(seconds * SECOND)) is not None


def test_a_fault_of_requests_has_a_time_a_kind_and_a_count() -> None:
    faults = Faults([Fault("drop", type="order", after=5, lasting=10, count=2)], 1, 0)

    assert not at(faults, 4.9)
    assert not at(faults, 6, CANCEL)
    assert not at(faults, 6, path="/info")
    assert not at(faults, 6, b"no json")
    assert at(faults, 5)
    assert at(faults, 14.9)
    assert not at(faults, 14.9)
    assert not at(Faults([Fault("drop", after=5, lasting=10)], 1, 0), 15)


def test_chance_is_seeded() -> None:
    def met(seed: int) -> list[bool]:
        faults = Faults([Fault("error", chance=0.3)], seed, 0)
        return [at(faults, n) for n in range(200)]

    assert met(1) == met(1) != met(2)
    assert 30 < sum(met(1)) < 90


def test_a_fault_of_streams_comes_again_as_often_as_it_says() -> None:
    faults = Faults(
        [Fault("disconnect", on="/ws", after=2, every=3, count=3), Fault("garbage", on="/ws")], 1, 0
    )
    met = [[fault.kind for fault in faults.of_streams(n * SECOND)] for n in range(12)]

    assert met[0] == ["garbage"]
    assert [n for n, kinds in enumerate(met) if "disconnect" in kinds] == [2, 5, 8]
    assert sum(len(kinds) for kinds in met) == 4
