"""``fundarb web``: the link to a running bot's page. ``fundarb top``: the same in a terminal."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli import options
from bot.cli.errors import CommandError

WEB_EXAMPLES = """\b
Examples:
  fundarb web                         a link with the token that may also control
  fundarb web --read                  a link for who only looks on
  fundarb web --rotate                new tokens: no older link is good for anything then
"""
TOP_EXAMPLES = """\b
Examples:
  fundarb top
  fundarb top --state state/testnet
"""


def web(
    state: options.State = options.PAPER_STATE,
    *,
    read: Annotated[bool, typer.Option("--read", help="The token that only reads.")] = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="Replace both tokens first.")] = False,
) -> None:
    """Print the link to the page of a running bot; whoever has it may use it.

    The token is behind the #, which a browser keeps to itself.
    """
    from bot.cli.directory import journal_in
    from bot.cli.reaching import Running
    from bot.web.tokens import Scope, Tokens

    directory = journal_in(Path(state)).parent
    tokens = Tokens(directory)
    if rotate:
        tokens.replace()
    page = Running(directory).ask("address")["page"]
    if page is None:
        raise CommandError(
            "this bot shows no page: it has --no-web or web.port 0, or its port was taken"
        )
    typer.echo(f"{page}/#token={tokens.of(Scope.READ if read else Scope.CONTROL)}")


def top(state: options.State = options.PAPER_STATE) -> None:
    """Watch a running bot in this terminal, and steer it by keys."""
    import sys

    from bot.cli.directory import journal_in
    from bot.cli.reaching import Running

    running = Running(journal_in(Path(state)).parent)
    running.ask("address")  # that nobody is there is told before the screen is taken
    if not sys.stdout.isatty():
        raise CommandError("top draws on a terminal: `fundarb status` is for everything else")
    from bot.top import Top

    Top(running).run()
