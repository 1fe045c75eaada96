"""How are files and folders named on the command line? A path that is empty, as of a variable that is not set, is refused."""

from pathlib import Path

import typer

from search.settings.files import at_home


def path(text: str) -> Path:
    """A path as an option or argument gives it, with ~ replaced by the home folder, which no shell does in `--to=~/x`.

    Raises:
        typer.BadParameter: it is empty, or there is no such home folder.
    """
    if not text:
        raise typer.BadParameter("the path is empty; the working folder is .")
    try:
        return at_home(Path(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
