"""Stage `attributes`: a network that tells what a face looks like, so that edits can be measured."""
