"""What does not work on every system? Whatever needs limits, signals or descriptors of POSIX checks for them here."""

from search.errors import SearchError


def check_posix(what: str) -> None:
    """Refuse what needs POSIX where Python has none of it, as on Windows.

    Raises:
        SearchError: the module `resource` is not there; `what` is the subject of its sentence.
    """
    try:
        import resource  # noqa: F401
    except ImportError as error:
        message = f"{what} needs a POSIX system, such as Linux, macOS, WSL or a container, since this Python has no module resource"
        raise SearchError(message) from error
