"""The commands of `deblurzoo`, one module per command."""
