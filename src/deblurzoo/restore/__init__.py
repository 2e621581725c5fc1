"""Applying a trained network to pictures of any size."""
