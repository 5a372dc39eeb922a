"""One folder a venue: all that is known of it lives there."""
