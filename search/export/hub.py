"""Where is the checkpoint? In a folder, in the cache of downloads, or on the model hub."""

from pathlib import Path

from search.errors import ModelNotFound, ModelUnavailable
from search.models import expanded
from search.models.files import is_folder, is_there

_WANTED = [
    "config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "adapter_config.json",
]


def fetch(model: str, revision: str | None, cache: Path) -> Path:
    """The folder of a checkpoint, downloaded if it is named and not here.

    Raises:
        ModelNotFound: it is written as a path and no such folder exists.
        ModelUnavailable: it could not be downloaded.
    """
    path = expanded(model)
    if is_folder(path):
        return path
    if model.startswith((".", "/", "~")) or is_there(path) or model.count("/") != 1:
        message = f"{model} is neither a folder with a checkpoint nor a name on the model hub, such as zeroentropy/zerank-1-small"
        raise ModelNotFound(message)
    from huggingface_hub import snapshot_download  # half a second, and only names need it

    try:
        return Path(snapshot_download(model, revision=revision, cache_dir=cache, allow_patterns=_WANTED))
    except Exception as error:  # it raises those of its HTTP library, and some of its own
        message = (
            f"the model {model} is not in {cache} and could not be downloaded ({type(error).__name__}); connect this machine to "
            "the model hub, or copy the checkpoint's folder here and give its path"
        )
        raise ModelUnavailable(message) from error
