"""The words: money, rates, instruments, market events, orders, positions, targets.

Imports nothing of ours. Every type is a frozen ``msgspec.Struct``: it can be
compared, hashed, logged, journaled and sent across a seam as it is.

Sign convention throughout: positive is received, positive quantity is long, a
positive funding rate means longs pay shorts. Fractions are plain (``0.0001``).
"""
