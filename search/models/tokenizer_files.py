"""What a model's tokenizer files say, in the one spelling that FastEmbed reads."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.models.files import LARGEST_TOKENIZER, read_bytes, read_json

_OTHERS = ("tokenizer.json", "config.json")  # which FastEmbed reads beside the two below
_CONFIG, _SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
_ADDED_TOKEN = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")  # what the tokenizers library takes


def spelt(tokens: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens as plain strings; some files have an object for each, with its content in it."""
    contents = {key: value.get("content") if isinstance(value, dict) else value for key, value in tokens.items()}
    return {key: value for key, value in contents.items() if isinstance(value, str)}


@contextmanager
def plain_tokenizer_files(folder: Path) -> Iterator[Path]:
    """A folder whose tokenizer files name special tokens by plain strings: the folder itself, or one made for the moment.

    transformers has written a token as an object, {"content": "<pad>", "__type": "AddedToken", …}, in either file.

    Raises:
        ModelIncomplete: one of the files cannot be read.
    """
    config, special = read_json(folder / _CONFIG, default={}), read_json(folder / _SPECIAL, default={})
    plain = {**config, **spelt({key: value for key, value in config.items() if key.endswith("_token")})}
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
