"""A model by FastEmbed's name for it: is it on this machine already, or can it be fetched?"""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from search.errors import ModelNotFound, ModelUnavailable

registering = threading.Lock()  # FastEmbed's registries are lists without one
if hasattr(os, "register_at_fork"):  # so that no child begins with a lock that a thread of its parent holds
    os.register_at_fork(before=registering.acquire, after_in_parent=registering.release, after_in_child=registering.release)


def fetch(model: str, kind: str, names: Iterable[str], load: Callable[..., object], cache: Path) -> dict[str, Any]:
    """Make sure that the files of a named model are in the cache, and give the options that load it from there.

    Args:
        model: the name.
        kind: "embedder" or "reranker", for messages.
        names: what FastEmbed serves of that kind.
        load: FastEmbed's class for that kind.
        cache: the folder FastEmbed keeps downloads in.

    Raises:
        ModelNotFound: FastEmbed does not know the name.
        ModelUnavailable: the files are not here and could not be downloaded.
    """
    if model.lower() not in {name.lower() for name in names}:
        message = f"no {kind} is called {model!r}; `search models --all` lists the names, or give the path of a model folder"
        raise ModelNotFound(message)
    here = {"model_name": model, "cache_dir": str(cache), "local_files_only": True}
    try:
        load(**here, lazy_load=True)
    except (ValueError, OSError):
        try:
            load(model_name=model, cache_dir=str(cache), lazy_load=True)
        except Exception as error:
            message = (
                f"the model {model} is not in {cache} and could not be downloaded; connect this machine to the model hub, "
                "or copy the model's folder here and give its path"
            )
            raise ModelUnavailable(message) from error
    return here
