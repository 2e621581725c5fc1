"""deblurzoo: motion-deblurring networks, trained and compared on the same data under the same rules."""

__version__ = "0.1.0"
