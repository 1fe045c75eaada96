"""The command `search`: parsing and printing only. Data goes to stdout, progress and logs to stderr."""

import logging
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

import search
from search.cli import collections, dedupe, demo, doctor, evaluate, ingest, models, query, serve
from search.cli.options import CONFIG, WrongUsage
from search.cli.paths import path
from search.errors import SearchError
from search.system.terminal import NotPrinted, clean_lines, note, prepare, show

_INTERRUPTED = 130
app = typer.Typer(
    name="search",
    help="Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder.",
    epilog="Every setting can be given as an environment variable such as SEARCH_EMBEDDER__MODEL, in .env or in search.toml, "
    "of the working folder or yours (~/.config/two-stage-search).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001  # as typer calls it
    if asked:
        show(f"search {search.__version__}")
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[
        Path | None,
        typer.Option(
            help="A file of settings to read instead of search.toml, also SEARCH_CONFIG.", parser=path, show_default=False
        ),
    ] = None,
    *,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error; may stand anywhere on the line.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,  # noqa: ARG001
) -> None:
    """Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder."""
    CONFIG.set(config)
    if not debug:
        logging.getLogger("search").addHandler(logging.NullHandler())  # results say what failed; no need to say it twice


for command in (
    demo.demo,
    *(ingest.ingest, ingest.update, ingest.delete),
    *(query.query, query.context, query.citations, query.rerank),
    *(evaluate.evaluate, query.explain, evaluate.calibrate),
    dedupe.dedupe,
    *(collections.reindex, collections.adopt, collections.push),
    *(serve.serve, serve.health, serve.key, serve.mcp),
    *(models.export, models.models, doctor.doctor),
):
    app.command()(command)
app.add_typer(collections.collections)


def main() -> None:
    """Run the command; one line for an error of ours, the traceback only with --debug."""
    prepare()
    debug = "--debug" in sys.argv
    sys.excepthook = _print_fault
    if not debug:
        warnings.showwarning = _print_warning
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        status = app(["--debug", *arguments] if debug else arguments, prog_name="search", standalone_mode=False)
        sys.stdout.flush()
        if status == _INTERRUPTED:
            goes_on = bool({"ingest", "reindex", "update", "push", "adopt"} & {*arguments})
            note(f"search: interrupted{'; what was written stays, and the same command goes on from there' if goes_on else ''}")
    except BrokenPipeError:
        status = 1
    except typer.Abort:
        note("search: given up")
        status = 1
    except (SearchError, NotPrinted) as error:
        if debug:
            note(*traceback.format_exc().splitlines())
        else:
            note(f"search: {error}")
        status = 2 if isinstance(error, WrongUsage) else 1
    except Exception as error:
        if not isinstance(getattr(error, "exit_code", None), int):  # of wrong usage, whose class typer does not export
            raise
        status = _wrong_usage(error)
    sys.exit(status if isinstance(status, int) else 0)


def _wrong_usage(error: Any) -> int:
    """Say what is wrong with the command line, which may have names of files from anywhere; the exit status."""
    from typer.rich_utils import rich_format_error

    message = clean_lines(error.format_message())
    error.format_message = lambda: message
    rich_format_error(error)
    return int(error.exit_code)


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning of a library or of ours, without the place in the code."""
    note(f"note: {message}")


def _print_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours, with its traceback."""
    note(*"".join(traceback.format_exception(kind, error, trace)).splitlines())
