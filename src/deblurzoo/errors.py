"""The one exception for everything a user can mend."""


class DeblurzooError(Exception):
    """A wrong input. The text says what is wrong, where (file, key, value) and what to do."""


def first_line(error: BaseException | None) -> str:
    """Return the first line of an error that says something, or the error's type."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("backend=")]  # inductor's
    return lines[0].strip() if lines else type(error).__name__


def require_at_least(key: str, value: object, least: int) -> None:
    """Raise a DeblurzooError unless the value of a config key is a whole number of at least `least`."""
    if type(value) is not int or value < least:
        raise DeblurzooError(f"{key}={value} must be a whole number of at least {least}: set another {key}")
