"""Many configurations over many windows of one history, and what their best is worth."""
