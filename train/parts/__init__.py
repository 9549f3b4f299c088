"""Stage `parts`: the face parser, from faces whose parts were drawn by hand."""
