"""Hyperliquid: its protocol, and the gateway that speaks it."""
