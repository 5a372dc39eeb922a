"""Where the shipped ``config/*.toml`` are: beside the packages, or inside the installed wheel."""

from pathlib import Path

_INSTALLED = Path(__file__).parent / "_config"
_CHECKOUT = Path(__file__).parents[1] / "config"


def config_file(name: str) -> Path:
    """The path of ``config/<name>``, whether it exists or not.

    >>> config_file("symbols.toml").name
    'symbols.toml'
    """
    return (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / name


def config_names(folder: str) -> tuple[str, ...]:
    """The names, without ``.toml``, of the files in ``config/<folder>``, sorted."""
    return tuple(sorted(path.stem for path in config_file(folder).glob("*.toml")))
