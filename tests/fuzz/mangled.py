"""Real samples with something wrong in them: what a broken or hostile other side could send."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = 50
"""So many times the ordinary number of examples in the long mode (``conftest.py``)."""

Path = tuple[int, ...]


def is_long() -> bool:
    return settings.get_current_profile_name() == "long"


def many(examples: int, *, always: bool = False) -> settings:
    """The same ``examples`` on every run; in the long mode many more, and new ones each time.

    ``always`` the same, where what is under the parser may take the process with it.
    """
    long = is_long() and not always
    return settings(
        max_examples=examples * LONG if long else examples,
        derandomize=not long,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # a mangled file is big, and a fixture is a path
    )


class Token(str):
    """JSON text that stands for itself, whether it is any or not."""

    __slots__ = ()


class Pairs(list[tuple[Any, Any]]):
    """An object as it is written: in order, a key as often as it comes."""


NUMBERS = tuple(
    Token(f'"{number}"')
    for number in (
        "null", "NaN", "Infinity", "-Infinity", "-NaN", "sNaN", "-0", "0", "1", "-1.5", "1e308",
        "1e-400", "1e40", "-1e40", "1e41", "1e-40", "1e-41", "1e999", "1e999999999", "1E+9",
        "9" * 39, "9" * 40, "9" * 5000, "0." + "0" * 36 + "1", "0x10", "1_000", "١", " 1", "1 ",
        "+1", ".5", "5.", "1,5",
    )
)  # fmt: skip
INTEGERS = tuple(
    Token(number)
    for number in (
        "0", "1", "-1", "2", "1.0", "1.5", "-0.0", "1e18", "1e999", "NaN", f"{2**31}", f"{2**53}",
        f"{2**63 - 1}", f"{2**63}", f"{-(2**63) - 1}", f"{2**64}", "9" * 30, "9" * 4301,
        "4000000000000", "9223372036854", "9223372036855", "100000000000000", "100000000000001",
    )
)  # fmt: skip
OTHERS = tuple(
    Token(text)
    for text in (
        "null", "true", "false", '""', '" "', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"',
        '"\xff"', '"\U0001f4a5"', f'"{"x" * 201}"', f'"{"x" * 5000}"', f'"0x{"1" * 40}"',
        f'"0x{"1" * 32}"', '"0x"', "[]", "{}", "[[]]", '{"":0}', "[null]", "[{}]",
        '["success"]', '"waitingForFill"', "[" * 50 + "]" * 50, "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "0" + "}" * 10_000, "[" + ",".join(["0"] * 2000) + "]",
    )
)  # fmt: skip
ODD = (*NUMBERS, *INTEGERS, *OTHERS)
_NUMERIC = re.compile(r"-?[0-9.]+")


def parsed(body: bytes) -> Any:
    return json.loads(body, object_pairs_hook=Pairs)


def written(tree: Any) -> bytes:
    """``parsed`` backwards."""
    return "".join(_written(tree)).encode("utf-8", "surrogatepass")


def _written(tree: Any) -> Iterator[str]:
    if isinstance(tree, Token):
        yield tree
    elif isinstance(tree, Pairs):
        for number, (key, value) in enumerate(tree):
            yield from ("{" if number == 0 else ",", json.dumps(key), ":")
            yield from _written(value)
        yield "}" if tree else "{}"
    elif isinstance(tree, list):
        yield "["
        for number, value in enumerate(tree):
            if number:
                yield ","
            yield from _written(value)
        yield "]"
    else:
        yield json.dumps(tree)


def _places(tree: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(tree, list):
        for number, child in enumerate(tree):
            yield from _places(child[1] if isinstance(tree, Pairs) else child, (*path, number))


def _at(tree: Any, path: Path) -> Any:
    for number in path:
        tree = tree[number][1] if isinstance(tree, Pairs) else tree[number]
    return tree


def _put(parent: Any, number: int, value: Any) -> None:
    parent[number] = (parent[number][0], value) if isinstance(parent, Pairs) else value


def _alike(value: Any, words: Sequence[Token]) -> Sequence[Token]:
    """What is odd, and yet of the kind that is looked for where ``value`` is."""
    if isinstance(value, int):
        return INTEGERS
    if isinstance(value, str):
        return NUMBERS if _NUMERIC.fullmatch(value) else words
    return ()


def _instead(chance: Random, value: Any, words: Sequence[Token]) -> Token:
    """Something else, mostly alike."""
    alike = _alike(value, words) if chance.randrange(4) else ()
    return chance.choice(alike or (*ODD, *words))


def _changed(chance: Random, tree: Any, words: Sequence[Token]) -> Any:
    """One thing about one place: dropped, doubled, moved, renamed, or something else instead."""
    places = list(_places(tree))
    path = chance.choice(places)
    if not path:
        return _instead(chance, tree, words)
    parent, number = _at(tree, path[:-1]), path[-1]
    match chance.randrange(12):
        case 0:
            del parent[number]
        case 1:
            parent.append(parent[number])
        case 2:
            parent.extend([parent[number]] * 20)
        case 3:
            other = chance.choice(places)
            _put(parent, number, deepcopy(_at(tree, other)))
        case 4 if isinstance(parent, Pairs):
            parent[number] = (_renamed(chance, parent[number][0], tree), parent[number][1])
        case 5 if isinstance(parent, Pairs):  # the same key again
            parent.append((parent[number][0], _instead(chance, parent[number][1], words)))
        case _:
            _put(parent, number, _instead(chance, _at(tree, path), words))
    return tree


def _renamed(chance: Random, key: str, tree: Any) -> str:
    objects = [_at(tree, place) for place in _places(tree)]
    keys = [known for node in objects if isinstance(node, Pairs) for known, _ in node]
    names: list[str] = [*keys, "", key.upper(), f"{key}_", f"_{key}", "x" * 300, "\ud800"]
    return chance.choice(names)


def one_thing_wrong(samples: Iterable[bytes], words: Sequence[str] = ()) -> Iterator[bytes]:
    """Each of ``samples`` with each of its values gone, or odd in every way of its kind."""
    tokens = [Token(json.dumps(word)) for word in words]
    for sample in samples:
        tree = parsed(sample)
        yield from (token.encode() for token in OTHERS)
        for path in list(_places(tree))[1:]:
            parent, number = _at(tree, path[:-1]), path[-1]
            whole = parent.pop(number)
            yield written(tree)
            parent.insert(number, whole)
            for token in (*_alike(_at(tree, path), tokens), *OTHERS, INTEGERS[0], NUMBERS[0]):
                _put(parent, number, token)
                yield written(tree)
            parent[number] = whole


Edit = tuple[int, int, bytes]
"""Where; how many bytes go; what comes."""

_edits: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.integers(0, 4), st.binary(max_size=4)), max_size=3
)


def edited(whole: bytes, changes: list[Edit]) -> bytes:
    damaged = bytearray(whole)
    for where, gone, new in changes:
        start = where % (len(damaged) + 1)
        damaged[start : start + gone] = new
    return bytes(damaged)


# One number is drawn and the rest follows from it: ten times the examples, and what shrinks is
# how many things are wrong.
_chances = st.randoms(use_true_random=True)


@st.composite
def mangled(
    draw: st.DrawFn, samples: Sequence[bytes], words: Sequence[str] = (), most: int = 3
) -> bytes:
    """One of ``samples`` (JSON) after up to ``most`` changes, now and then with broken bytes.

    ``words`` are texts that mean something somewhere in them.
    """
    tokens = [Token(json.dumps(word)) for word in words]
    chance: Random = draw(_chances)
    tree = parsed(chance.choice(samples))
    broken = chance.randrange(10)
    for _ in range(draw(st.integers(0, most))):
        tree = _changed(chance, tree, tokens)
    body = written(tree)
    if broken == 0:
        return body[: chance.randrange(len(body) + 1)]
    return edited(body, draw(_edits)) if broken == 1 else body


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with flipped bits, changed bytes, pieces lost, or its end cut off."""
    body = edited(whole, draw(_edits))
    for where in draw(st.lists(st.integers(0, 8 * max(len(body), 1) - 1), max_size=6)):
        if where < 8 * len(body):
            body = (
                body[: where // 8]
                + bytes([body[where // 8] ^ 1 << where % 8])
                + body[where // 8 + 1 :]
            )
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 4)) == 0 else body
