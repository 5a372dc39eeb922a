"""A state directory as it can be read: its journal folded, and the facts that belong to a trade."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from bot.cli.errors import CommandError
from bot.instruments import load_pairs
from domain.account import Cashflow, FundingPayment
from domain.orders import Fill
from execution.facts import Decided, EquityMarked, Fact, RunStarted
from execution.journal import open_for_reading
from execution.ledger.pnl import PnL
from execution.state import State, apply, trade_at

JOURNAL = "journal.sqlite"


class History:
    """Every fact of a run, folded. ``facts_of`` a trade are in order, with its pair's decisions."""

    def __init__(self, run: RunStarted) -> None:
        self.run = run
        self.state = State(load_pairs(run.venue, run.pairs))
        self.marks: dict[str, Decimal] = {}
        self.facts_of: defaultdict[str, list[Fact]] = defaultdict(list)
        self.decisions: defaultdict[str, list[Decided]] = defaultdict(list)

    def add(self, fact: Fact) -> None:
        """Fold one more fact, in the journal's order."""
        apply(self.state, fact)
        trade_id = self._trade_of(fact)
        if trade_id is not None:
            self.facts_of[trade_id].append(fact)
        if isinstance(fact, Decided):
            self.decisions[fact.target.pair].append(fact)
        if isinstance(fact, Fill):
            self.marks[fact.instrument] = fact.price
        if isinstance(fact, EquityMarked):
            self.marks.update(fact.marks)

    def pnl(self, trade_id: str) -> PnL:
        """A trade's profit by source; what is open is valued at the last marks on record."""
        return self.state.books.pnl(trade_id, self.marks)

    def equity(self) -> Decimal:
        return self.state.books.equity(self.marks)

    def _trade_of(self, fact: Fact) -> str | None:
        if isinstance(fact, Fill) and (order := self.state.orders.get(fact.cloid)) is not None:
            return order.trade_id
        if isinstance(fact, Fill | FundingPayment | Cashflow):
            return trade_at(self.state, fact.instrument, fact.venue_time_ns)
        return getattr(fact, "trade_id", None)


def read_history(directory: Path) -> History:
    """Fold the journal of a state directory; a running bot is not disturbed.

    Raises:
        CommandError: when there is no journal, or nothing in it.
        JournalError: when it cannot be read.
    """
    with open_for_reading(journal_in(directory)) as journal:
        facts = journal.read()
        first = next(facts, None)
        if not isinstance(first, RunStarted):
            raise CommandError(f"the journal in {directory} is empty: nothing has run yet")
        history = History(first)
        history.add(first)
        for fact in facts:
            history.add(fact)
    return history


def journal_in(directory: Path) -> Path:
    """The journal of a state directory, or of the only mode that ran under it.

    Raises:
        CommandError: when there is none.
    """
    if (directory / JOURNAL).is_file():
        return directory / JOURNAL
    below = sorted(directory.glob(f"*/{JOURNAL}"))
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(str(path.parent) for path in below)
        raise CommandError(f"{directory} holds several runs: name one by --state ({names})")
    raise CommandError(
        f"no journal in {str(directory)!r}: `fundarb paper` starts one, --state says where"
    )
