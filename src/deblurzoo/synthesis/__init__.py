"""Blur formation: synthesis of blurry images from sharp frames, as in the public data sets."""
