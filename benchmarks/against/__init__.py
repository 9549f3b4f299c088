"""This checkout and another one, measured in turn: `python -m benchmarks.against`."""
