"""HTML as values: text is escaped, and only what was built here is markup."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Markup. Everything that is not of this type is text, whatever it looks like."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """One element. ``class_`` and ``data_label`` become ``class`` and ``data-label``.

    >>> element("b", "1 < 2", class_="good")
    '<b class="good">1 &lt; 2</b>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{together(*children)}</{name}>")


def together(*children: Child) -> Html:
    """Children one after the other; None is nothing.

    >>> together("a & b", None, [element("br"), Html("<i>c</i>")])
    'a &amp; b<br><i>c</i>'
    """
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        elif child is not None:
            parts.append(together(*child))
    return Html("".join(parts))


_VOID = {"br", "meta"}
