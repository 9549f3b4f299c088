"""The generator: mapping, synthesis, and synthesis with its constants folded."""
