"""Market data in: history, recording, live."""
