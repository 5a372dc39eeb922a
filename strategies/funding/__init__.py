"""Models of the funding process, and their scores."""
