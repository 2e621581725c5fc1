"""Blur formation: blurry pictures from sharp frames, as the data sets make them."""
