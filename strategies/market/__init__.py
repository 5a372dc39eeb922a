"""Public events folded into market state."""
