"""The console command: one file a command group."""
