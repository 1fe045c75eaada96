"""The command `search`: parsing and printing only. Data goes to stdout, progress and logs to stderr."""

import copy
import logging
import sys
import traceback
import warnings
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import search
from search.cli import collections, dedupe, demo, doctor, evaluate, ingest, models, query, serve, settings
from search.cli.options import CONFIG, WrongUsage
from search.cli.paths import path
from search.errors import SearchError
from search.factory import needs_extra
from search.system.files import expanded, hindrance, writing
from search.system.terminal import NotPrinted, clean_lines, note, prepare, show

_INTERRUPTED = 130
_QUIET = logging.NullHandler()  # results say what failed, and notes what is wrong with .env; no need to say it twice
_LOGGERS = ("search", "dotenv")
_DEBUG: ContextVar[bool] = ContextVar("debug", default=False)
_COMMAND: ContextVar[str | None] = ContextVar("command", default=None)  # that runs
_COMPLETIONS = ("--show-completion", "--install-completion")
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_RESUMED = {"ingest", "reindex", "update", "push", "adopt"}  # where they stopped, by the same command


class _Group(TyperGroup):
    """Commands which take --debug, too, so that it may stand anywhere on the line."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None and all(one.name != "debug" for one in command.params):
            for option in (copy.copy(one) for one in self.params if one.name == "debug"):
                option.hidden = True  # type: ignore[attr-defined]  # of an option, as this is
                command.params.append(option)
        return command


app = typer.Typer(
    name="search",
    help="Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder.",
    epilog="Every setting can be given as an environment variable such as SEARCH_EMBEDDER__MODEL, in .env or in search.toml, "
    "of the working folder or yours (~/.config/two-stage-search); search settings lists them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=_Group,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(asked: bool) -> None:  # noqa: FBT001  # as typer calls it
    if asked:
        show(f"search {search.__version__}")
        raise typer.Exit


def _debugging(asked: bool) -> None:  # noqa: FBT001  # likewise
    if asked:
        _DEBUG.set(True)
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(_QUIET)


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A file of settings to read instead of search.toml, also SEARCH_CONFIG.", parser=path, show_default=False
        ),
    ] = None,
    *,
    debug: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--debug",
            callback=_debugging,
            is_eager=True,
            expose_value=False,
            help="Show the traceback of an error; may stand anywhere on the line.",
        ),
    ] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,  # noqa: ARG001
) -> None:
    """Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder."""
    CONFIG.set(config)
    _COMMAND.set(context.invoked_subcommand)


for command in (
    demo.demo,
    *(ingest.ingest, ingest.update, ingest.delete),
    *(query.query, query.context, query.citations, query.rerank),
    *(evaluate.evaluate, query.explain, evaluate.calibrate),
    dedupe.dedupe,
    *(collections.reindex, collections.adopt, collections.push),
    *(serve.serve, serve.health, serve.key, serve.mcp),
    *(models.export, models.models, settings.settings, doctor.doctor),
):
    app.command()(command)
app.add_typer(collections.collections, cls=_Group)


def main() -> None:
    """Run the command; one line for an error of ours, the traceback only with --debug."""
    prepare()
    sys.excepthook = _print_fault
    warnings.showwarning = _print_warning
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(_QUIET)
    _DEBUG.set(False)
    arguments = sys.argv[1:]
    if arguments[:1] == ["help"]:
        arguments = [*(arguments[1:] if arguments[1:] != ["help"] else []), "--help"]
    try:
        with needs_extra():
            run = _completion if _names_shell(arguments) else app
            status = run(arguments, prog_name="search", standalone_mode=False)
        sys.stdout.flush()
        if status == _INTERRUPTED:
            kept = "; what was written stays, and the same command goes on from there" if _COMMAND.get() in _RESUMED else ""
            note(f"search: interrupted{kept}")
    except BrokenPipeError:
        status = 1
    except typer.Abort:
        note("search: given up")
        status = 1
    except (SearchError, NotPrinted) as error:
        if _DEBUG.get():
            note(*traceback.format_exc().splitlines())
        else:
            note(f"search: {error}")
        status = 2 if isinstance(error, WrongUsage) else 1
    except Exception as error:
        status = _otherwise(error)
    sys.exit(status if isinstance(status, int) else 0)


def _otherwise(error: Exception) -> int:
    """What to end with after an error that is none of ours; what no user can mend is raised again."""
    if isinstance(error, ImportError | MemoryError) and not _DEBUG.get() and (remedy := hindrance(error)):
        note(f"search: {str(error) or 'out of memory'}; {remedy}")  # as of a native library
        return 1
    if not isinstance(getattr(error, "exit_code", None), int):  # of wrong usage, whose class typer does not export
        raise error
    return _wrong_usage(error)


def _names_shell(arguments: list[str]) -> bool:
    return len(arguments) == 2 and arguments[0] in _COMPLETIONS and not arguments[1].startswith("-")  # noqa: PLR2004  # and the shell


def _completion(arguments: list[str], prog_name: str, **_options: Any) -> None:
    """Show or install the completion of a shell, where typer by itself knows that of the one it runs in."""
    from typer.completion import get_completion_script, install  # type: ignore[attr-defined]  # which names no exports

    (option, shell), variable = arguments, f"_{prog_name.upper()}_COMPLETE"
    if shell not in _SHELLS:
        raise WrongUsage(f"{option} knows no shell {shell!r}; there are {', '.join(_SHELLS)}")
    if option == "--show-completion":
        show(*get_completion_script(prog_name=prog_name, complete_var=variable, shell=shell).split("\n"))
    else:
        with writing("completion", expanded("~")):
            _, file = install(shell=shell, prog_name=prog_name, complete_var=variable)
        show(f"{shell} completes commands and options once it is started again, by {file}")


def _wrong_usage(error: Any) -> int:
    """Say what is wrong with the command line, which may have names of files from anywhere; the exit status."""
    from typer.rich_utils import rich_format_error

    message = clean_lines(error.format_message())
    error.format_message = lambda: message
    rich_format_error(error)
    return int(error.exit_code)


def _print_warning(message: Warning | str, *where: Any, **_: Any) -> None:
    """A warning of a library or of ours, without the place in the code unless --debug asks for it."""
    note(*(warnings.formatwarning(message, *where[:3]).splitlines() if _DEBUG.get() else [f"note: {message}"]))


def _print_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours, with its traceback."""
    note(*"".join(traceback.format_exception(kind, error, trace)).splitlines())
