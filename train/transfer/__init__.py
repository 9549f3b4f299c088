"""Stage `transfer`: what of a photo goes along with an edit, learned from faces whose true edit is known."""
