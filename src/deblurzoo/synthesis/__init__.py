"""Blur formation: blurry pictures from sharp frames, as the data sets make them."""

from deblurzoo.synthesis.extra_blur import ExtraBlur
from deblurzoo.synthesis.formation import form_blur

__all__ = ["ExtraBlur", "form_blur"]
