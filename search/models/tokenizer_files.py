"""What a model's tokenizer files say, in the one spelling that FastEmbed reads."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from search.models.files import LARGEST_TOKENIZER, read_bytes, read_json

_OTHERS = ("tokenizer.json", "config.json")  # which FastEmbed reads beside the two below
_CONFIG, _SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
_WINDOW = ("model_max_length", "max_length")  # of which FastEmbed takes the shorter one
_FROM_PADDING = {"camembert", "longformer", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"}  # count positions from there on
_ADDED_TOKEN = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")  # what the tokenizers library takes


def spelt(tokens: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens as plain strings; some files have an object for each, with its content in it."""
    contents = {key: value.get("content") if isinstance(value, dict) else value for key, value in tokens.items()}
    return {key: value for key, value in contents.items() if isinstance(value, str)}


def positions(config: Mapping[str, Any]) -> int | None:
    """How many tokens a text may have by a model's config.json, special ones included; None if it does not say."""
    stated, padding = config.get("max_position_embeddings"), config.get("pad_token_id", 1)
    if not _counts(stated) or not (isinstance(padding, int) and padding >= 0):
        return None
    return max(1, stated - padding - 1) if config.get("model_type") in _FROM_PADDING else stated


def _counts(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= sys.maxsize


@contextmanager
def plain_tokenizer_files(folder: Path) -> Iterator[Path]:
    """A folder whose tokenizer files name special tokens by plain strings, and a window: itself, or one made for the moment.

    transformers has written a token as an object, {"content": "<pad>", "__type": "AddedToken", …}, in either file, and leaves out
    the window that config.json states.

    Raises:
        ModelIncomplete: one of the files cannot be read.
    """
    config, special = read_json(folder / _CONFIG, default={}), read_json(folder / _SPECIAL, default={})
    plain = {**config, **spelt({key: value for key, value in config.items() if key.endswith("_token")})}
    if not any(_counts(config.get(name)) for name in _WINDOW):
        stated = positions(read_json(folder / "config.json", default={}))
        plain |= {} if stated is None else {_WINDOW[0]: stated}
    added = {
        key: [_added(token) for token in value] if isinstance(value, list) else _added(value) for key, value in special.items()
    }
    if plain == config and added == special:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="search-tokenizer-") as made:
        for name in _OTHERS:
            if (folder / name).is_file():
                (Path(made) / name).write_bytes(read_bytes(folder / name, LARGEST_TOKENIZER))
        (Path(made) / _CONFIG).write_text(json.dumps(plain), encoding="utf-8")
        if special:
            (Path(made) / _SPECIAL).write_text(json.dumps(added), encoding="utf-8")
        yield Path(made)


def _added(token: Any) -> Any:
    return {key: value for key, value in token.items() if key in _ADDED_TOKEN} if isinstance(token, dict) else token
