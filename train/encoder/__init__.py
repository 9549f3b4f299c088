"""Stage `inversion`: the encoder img -> w."""
