from tests.unit.bot.cli.conftest import fundarb

__all__ = ["fundarb"]
