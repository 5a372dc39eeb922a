"""The simulated exchange behind Hyperliquid's own wire JSON: the other side, to test against.

Nothing here is shared with the client: the wire format is written twice on purpose, so that
one may find the other wrong. What is not documented by the venue is marked UNVERIFIED.
"""
