"""What does a dense model read before a text? Prompts by its files, by FastEmbed's name for it, or by the settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from search.errors import ModelIncomplete
from search.models import ModelFolder
from search.models.files import read_json

_FILE = "config_sentence_transformers.json"
_QUERY, _PASSAGE = ("query",), ("document", "passage", "corpus")  # sentence-transformers' names, the first that is there


class Prompts(NamedTuple):
    """What stands before every query, and before every passage."""

    query: str
    passage: str


_TO_PASSAGES = Prompts("Represent this sentence for searching relevant passages: ", "")
_NOMIC = Prompts("search_query: ", "search_document: ")
_QWEN = Prompts("Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:", "")
NAMED = {  # those that need prompts, as their cards say; FastEmbed gives none
    "BAAI/bge-base-en": _TO_PASSAGES,
    "BAAI/bge-small-en": _TO_PASSAGES,
    "Qdrant/stella-en-400M-v5-doc-onnx": Prompts(
        "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: ", ""
    ),
    "Qwen/Qwen3-Embedding-0.6B": _QWEN,
    "Qwen/Qwen3-Embedding-0.6B-Q": _QWEN,
    "google/embeddinggemma-300m": Prompts("task: search result | query: ", "title: none | text: "),
    "intfloat/multilingual-e5-large": Prompts("query: ", "passage: "),
    "mixedbread-ai/mxbai-embed-large-v1": _TO_PASSAGES,
    "nomic-ai/nomic-embed-text-v1": _NOMIC,
    "nomic-ai/nomic-embed-text-v1.5": _NOMIC,
    "nomic-ai/nomic-embed-text-v1.5-Q": _NOMIC,
    "snowflake/snowflake-arctic-embed-l": _TO_PASSAGES,
    "snowflake/snowflake-arctic-embed-m": _TO_PASSAGES,
    "snowflake/snowflake-arctic-embed-m-long": _TO_PASSAGES,
    "snowflake/snowflake-arctic-embed-s": _TO_PASSAGES,
    "snowflake/snowflake-arctic-embed-xs": _TO_PASSAGES,
}


def prompts_of(model: str, folder: ModelFolder | None) -> Prompts:
    """Those that belong to a model, of which none is the empty string.

    Raises:
        ModelIncomplete: a file of the folder gives something else than a text.
    """
    if folder is None:
        return next((prompts for name, prompts in NAMED.items() if name.lower() == model.lower()), Prompts("", ""))
    said = read_json(folder.path / _FILE, default={}).get("prompts") or {}
    if not isinstance(said, dict):
        raise ModelIncomplete(f"the prompts in {folder.path / _FILE} are no object of texts by name; copy the model again")
    query, passage = (_first(said, names, folder) for names in (_QUERY, _PASSAGE))
    given = {name: folder.recipe.get(name) for name in ("query_prompt", "passage_prompt")}
    if wrong := [name for name, prompt in given.items() if not isinstance(prompt, str | None)]:
        raise ModelIncomplete(f"{' and '.join(wrong)} in the recipe.json of {folder.path} is no text; write one, or take it out")
    return Prompts(
        query if given["query_prompt"] is None else given["query_prompt"],
        passage if given["passage_prompt"] is None else given["passage_prompt"],
    )


def _first(said: Mapping[str, Any], names: tuple[str, ...], folder: ModelFolder) -> str:
    prompt = next((said[name] for name in names if said.get(name) is not None), "")
    if not isinstance(prompt, str):
        message = f"the prompts in {folder.path / _FILE} are no texts: {prompt!r:.40}; copy the model again"
        raise ModelIncomplete(message)
    return prompt
