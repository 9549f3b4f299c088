"""Moving pictures: a clip in, the same clip out with its faces edited, its sound, its times and its tags."""
