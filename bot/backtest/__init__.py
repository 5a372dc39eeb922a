"""History into events, and reports out."""
