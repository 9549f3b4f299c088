"""Models: where they come from, what opens them, and what is said of them."""
