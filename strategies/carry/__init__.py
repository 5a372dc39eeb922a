"""Costs, entry and exit thresholds, allocation over pairs."""
