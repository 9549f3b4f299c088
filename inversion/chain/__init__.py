"""The chain from a cropped face to its latents and its picture, and the engines that run it."""
