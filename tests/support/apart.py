"""Python in a process of its own, which may be killed at any point. It is forked from one that has imported everything."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from forked import OF_SEARCHERS

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([*OF_SEARCHERS, "search.ingestion.reindexing"])


class Apart:
    """The process, and what it prints."""

    def __init__(self, process: BaseProcess, stdout: TextIO, stderr: TextIO) -> None:
        self._process = process
        self.stdout = stdout
        self.stderr = stderr  # a few kB, for nobody reads it before the process has ended

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended by itself."""
        self._process.kill()

    def wait(self) -> int:
        """Its exit status, negative that of a signal."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


@contextmanager
def python(code: str, *arguments: object, environment: Mapping[str, str]) -> Iterator[Apart]:
    """Run code in a process with this environment, as `python -c` does; it has ended when the context has."""
    (output, of_process), (errors, of_process_too) = (multiprocessing.Pipe(duplex=False) for _ in range(2))
    process = _CONTEXT.Process(
        target=_run, args=(of_process, of_process_too, code, list(map(str, arguments)), dict(environment), str(Path.cwd()))
    )
    process.start()
    of_process.close()
    of_process_too.close()
    with output, errors, open(output.fileno(), closefd=False) as stdout, open(errors.fileno(), closefd=False) as stderr:
        try:
            yield Apart(process, stdout, stderr)
        except BaseException:
            process.kill()
            raise
        finally:
            process.join()
            if process.exitcode and process.exitcode > 0:
                sys.stderr.write(stderr.read())
            process.close()


def _run(output: Connection, errors: Connection, code: str, arguments: list[str], environment: dict[str, str], folder: str) -> None:
    for number, pipe in ((1, output), (2, errors)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # for as long as the process lives
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    sys.argv = ["-c", *arguments]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        exec(compile(code, "<apart>", "exec"), {"__name__": "__main__"})  # noqa: S102  # the tests' own
    finally:
        sys.stdout.flush()
