"""Stage `refiners`: W+ and F on top of an encoder."""
