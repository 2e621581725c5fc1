"""The one exception for everything a user can mend."""


class DeblurzooError(Exception):
    """A wrong input. The text says what is wrong, where (file, key, value) and what to do."""
