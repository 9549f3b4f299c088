"""What a grown block brings: `python -m benchmarks.grown`."""
