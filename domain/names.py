"""How a person writes the name of a pair. Imports nothing: the command line begins with it."""

import re

_OF_THOUSANDS = re.compile("k[A-Z]")


def pair_name(text: str) -> str:
    """In capitals, but for the ``k`` of what is counted in thousands.

    >>> pair_name(" hype "), pair_name("kBONK")
    ('HYPE', 'kBONK')
    """
    name = text.strip()
    return name if _OF_THOUSANDS.match(name) else name.upper()
