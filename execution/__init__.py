"""From target to money: risk gate, pair machine, order table, journal, ledger, venues."""
