"""What of a photo goes along with an edit of its face: where it moves, and where the model draws anew."""
