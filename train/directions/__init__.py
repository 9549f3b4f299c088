"""Stage `directions`: the search for edits."""
