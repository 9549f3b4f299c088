"""The app as a server: who may ask, what is taken in, and how it ends."""
