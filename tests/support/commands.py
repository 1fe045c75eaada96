"""The command `search`, as tests run it: in their own process, or, where the process is the point, in one of its own."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import typer.main

from search.cli.app import main

COMMAND = Path(sys.executable).parent / "search"
_get_command = cache(typer.main.get_command)  # which is the same each time, and takes longer to make than many a command to run


class Done(NamedTuple):
    """What a command printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def search(*arguments: object, stdin: str = "", status: int | None = 0, **environment: Any) -> Done:
    """Run the command here, with some variables of the environment; it should end with this status."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(os.fsencode(stdin)), encoding="utf-8")
    words = ["search", *map(str, arguments)]
    with (
        patch.dict(os.environ, {"COLUMNS": "100", **environment}),
        patch.multiple(sys, argv=words, stdin=given, excepthook=sys.excepthook),
        patch("typer.main.get_command", _get_command),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    done = Done(code, *(stream.buffer.getvalue().decode() for stream in (output, errors)))
    assert status in {None, code}, done.stderr
    return done


def search_apart(*arguments: object, stdin: str = "", status: int | None = 0, **environment: Any) -> Done:
    """The same in a process of its own."""
    command = [str(COMMAND), *map(str, arguments)]
    variables = {**os.environ, "COLUMNS": "100", **environment}
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=variables)
    assert status in {None, done.returncode}, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def as_json(*arguments: object, **options: Any) -> dict[str, Any]:
    """The object that a command prints."""
    loaded: dict[str, Any] = json.loads(search(*arguments, "--json", **options).stdout)
    return loaded


def error(*arguments: object, **options: Any) -> str:
    """The one line of a failed command."""
    return one_line(search(*arguments, **{"status": 1, **options}))


def wrong(*arguments: object, **options: Any) -> str:
    """The one line about an argument that is wrong by itself."""
    return error(*arguments, status=2, **options)


def one_line(done: Done) -> str:
    """The one line of a failed command, which printed nothing else."""
    assert done.stdout == ""
    assert done.stderr.startswith("search: ")
    assert done.stderr.count("\n") == 1
    return done.stderr
