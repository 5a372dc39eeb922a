"""The options that several commands share: one name, one meaning, one help text.

All are text here and are read in ``values``: a wrong one is then told of in the
same words everywhere.
"""

from typing import Annotated

import typer

PAPER_STATE = "state/paper"

State = Annotated[str, typer.Option("--state", metavar="DIR", help="Where the run's journal is.")]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the answer as JSON; - is standard output."),
]
Export = Annotated[
    str | None,
    typer.Option(
        "--export", metavar="DIR", help="Write fills, funding, equity, decisions as Parquet."
    ),
]
Report = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write the run as one HTML page that needs no network.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="A TOML file over the default settings."),
]
Data = Annotated[
    str, typer.Option("--data", metavar="DIR", help="History: prices/ and funding/ in Parquet.")
]
Venue = Annotated[
    str,
    typer.Option("--venue", metavar="V", help="Whose history and rules: a file of config/venues."),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        "--pairs", metavar="A,B", help="Such as BTC,HYPE; else all that are traded by default."
    ),
]
Capital = Annotated[
    str | None,
    typer.Option(
        "--capital", metavar="N", help="Quote asset to start with (settings: account.capital)."
    ),
]
Bar = Annotated[
    str | None,
    typer.Option(
        "--bar",
        metavar="1m|5m|15m|1h",
        help="Bar of the history; else the finest that all legs have for the window.",
    ),
]
Seed = Annotated[str, typer.Option("--seed", metavar="N", help="Same seed, same market, same run.")]
AllowGaps = Annotated[
    bool,
    typer.Option("--allow-gaps", help="Run over bars that the history lacks; nothing is filled."),
]
