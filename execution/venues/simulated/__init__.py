"""The simulated exchange: the other side. Shares only `domain` with the bot."""
