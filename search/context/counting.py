"""How many tokens does a text have? By the tokenizer of whoever reads it, or by an estimate that says so."""

from collections.abc import Callable, Mapping, Sized
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from search.errors import InvalidQuery
from search.system.files import open_regular

_FILE = "tokenizer.json"
_LARGEST = 128 << 20  # bytes; those of published models have up to 35 MB
_CHARACTERS = 4  # of a token, about, in English
_PROBE = "The cat sleeps."


class Counter(NamedTuple):
    """Counts the tokens of texts."""

    name: str  # what tokens are here, for people
    count: Callable[[str], int]


Tokenizer = str | Path | Callable[[str], Any] | Counter


def counter(tokenizer: Tokenizer | None) -> Counter:
    """What counts tokens.

    Args:
        tokenizer: the path of a `tokenizer.json`, or of a folder that holds one; a function from a text to the number of its
            tokens, or to a list of them; None for an estimate, by characters; a counter is what it is.

    Raises:
        InvalidQuery: there is no such file, it is no tokenizer, or what was given is neither a path nor a function.
    """
    if tokenizer is None:
        return Counter(f"characters ÷ {_CHARACTERS}, an estimate", lambda text: -(-len(text) // _CHARACTERS))
    if isinstance(tokenizer, Counter):
        return tokenizer
    if isinstance(tokenizer, str | Path):
        try:
            file = Path(tokenizer).expanduser()
        except RuntimeError as error:  # nobody's home
            raise _not_read(Path(tokenizer), error) from error
        file = file / _FILE if file.is_dir() else file
        return Counter("/".join(file.absolute().parts[-2:]), _of_file(file))
    if not callable(tokenizer):
        message = (
            f"the tokenizer is a {type(tokenizer).__name__}; give the path of a tokenizer.json, "
            "a function that counts the tokens of a text, or None"
        )
        raise InvalidQuery(message)
    name = getattr(tokenizer, "__qualname__", type(tokenizer).__name__)
    counted = Counter(f"the function {name}", lambda text: _counted(tokenizer, text))
    counted.count(_PROBE)
    return counted


def _counted(tokenizer: Callable[[str], Any], text: str) -> int:
    """What a function of somebody else's says of a text."""
    try:
        answer = tokenizer(text)
        if isinstance(answer, Mapping):  # of transformers
            answer = answer["input_ids"]
        number = len(answer) if isinstance(answer, Sized) else answer
    except BaseException as error:
        if not _is_failure(error):
            raise
        raise InvalidQuery(f"the tokenizer failed: {type(error).__name__}: {str(error)[:200]}") from error
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise InvalidQuery(
            f"the tokenizer gave a {type(answer).__name__} for a text; it is to give a number of tokens, or a list of them"
        )
    return int(number)


def _of_file(file: Path) -> Callable[[str], int]:
    try:
        status = file.stat()
    except (OSError, ValueError) as error:
        raise _not_read(file, error) from error
    return _loaded(file.absolute(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _loaded(file: Path, *_: int) -> Callable[[str], int]:
    """A tokenizer, which takes a while to parse, and is kept as long as its file is the same."""
    from tokenizers import Tokenizer as Loaded

    try:
        with open_regular(file) as stream:
            content = stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise _not_read(file, error) from error
    if len(content) > _LARGEST:
        raise InvalidQuery(f"{file} has more than {_LARGEST >> 20} MB, as no tokenizer has; give the {_FILE} of a model")
    try:
        loaded = Loaded.from_str(content.decode("utf-8"))
        loaded.no_truncation()
        loaded.no_padding()
        makes_tokens = bool(loaded.encode(_PROBE, add_special_tokens=False).ids)
    except BaseException as error:
        if not _is_failure(error):
            raise
        message = f"{file} is no tokenizer ({str(error)[:200]}); give the {_FILE} of the model that reads the context"
        raise InvalidQuery(message) from error
    if not makes_tokens:
        raise InvalidQuery(f"{file} makes no tokens of words; give the {_FILE} of the model that reads the context")

    def count(text: str) -> int:
        return _counted(lambda one: loaded.encode(one, add_special_tokens=False).ids, text)

    return count


def _is_failure(error: BaseException) -> bool:
    """Whether a tokenizer failed; what is written in Rust may give up with something that is no Exception to Python."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _not_read(file: Path, error: Exception) -> InvalidQuery:
    reason = error.strerror if isinstance(error, OSError) else error
    return InvalidQuery(f"the tokenizer {file} cannot be read: {reason}; give the {_FILE} of the model that reads the context")
