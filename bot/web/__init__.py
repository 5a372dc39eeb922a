"""The bot's own page, and the interface that it and the command line use. Loopback only."""
