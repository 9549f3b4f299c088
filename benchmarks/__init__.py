"""Scripts that print the speeds, loads and trials that `docs/measurements.md` states."""
