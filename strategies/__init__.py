"""What to hold, and why: pure functions over market state. One strategy a file."""
