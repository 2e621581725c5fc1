"""Measuring speed, memory and size."""
