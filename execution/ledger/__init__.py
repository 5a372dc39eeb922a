"""Double entry, exact Decimals, and the P&L of each trade by source. Pure."""
