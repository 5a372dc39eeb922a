"""Who may come in: one pure judgement over a request's own words, before anything else happens.

The dangers are a page elsewhere that makes a browser ask us (cross-site requests), a name of its
own that it points at this machine (DNS rebinding), and somebody who guesses. There are no
cookies, so a browser never adds by itself what lets a request in.
"""

from collections.abc import Mapping

import msgspec

from bot.web.tokens import Scope

BODY_MAX = 2_048
"""Bytes of a command; the longest there is takes some hundred."""


class Refusal(msgspec.Struct, frozen=True):
    """The status and the one sentence of an answer that is no."""

    status: int
    why: str


def refused_place(
    method: str, headers: Mapping[str, str], origins: frozenset[str]
) -> Refusal | None:
    """Whether a request comes from where it may: by its ``Host``, ``Origin`` and fetch site.

    ``origins`` are this server's own, such as ``http://127.0.0.1:8787``.
    """
    hosts = {origin.partition("://")[2] for origin in origins}
    if headers.get("host", "") not in hosts:
        return Refusal(421, "this is not the host of that name")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return Refusal(403, "requests of other sites are not answered")
    origin = headers.get("origin")
    if (origin is not None and origin not in origins) or (origin is None and method == "POST"):
        return Refusal(403, "requests from this origin are not answered")
    if headers.get("upgrade"):
        return Refusal(403, "no other protocol is spoken here")
    return None


def refused_command(headers: Mapping[str, str], scope: Scope) -> Refusal | None:
    """Whether something that changes things may be asked by ``scope``, in this form."""
    if scope is not Scope.CONTROL:
        return Refusal(403, "this token only reads: `fundarb web` shows the one that controls")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return Refusal(415, "a command is JSON: Content-Type: application/json")
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length[:9]) > BODY_MAX:
        return Refusal(413, f"a command has a length, of at most {BODY_MAX} bytes")
    return None
