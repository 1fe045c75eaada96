"""What will an export write? Every choice is made, and everything refused that is not implemented, before a byte is written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from search.errors import ModelIncomplete, UnsupportedModel
from search.export.bert import BertShape
from search.export.checkpoint import Checkpoint
from search.export.decoder import DecoderShape, Rows
from search.export.precision import Precision
from search.export.rope import rope_tables
from search.models import read_json
from search.recipes import (
    Classification,
    Golden,
    Listwise,
    Pairwise,
    QueryLikelihood,
    Recipe,
    TokenLogits,
    find,
    names,
    published_for,
)

_DECODERS = ("Qwen3", "Qwen2", "Llama", "Mistral")
_ENCODERS = ("Bert", "Roberta", "XLMRoberta")
_LANGUAGE_MODELS = {f"{family}ForCausalLM" for family in _DECODERS}
_CLASSIFIERS = {f"{family}ForSequenceClassification" for family in _DECODERS}
_CROSS_ENCODERS = {f"{family}ForSequenceClassification" for family in _ENCODERS}


@dataclass(frozen=True)
class Plan:
    """What will be written, every choice made."""

    architecture: str
    shape: BertShape | DecoderShape
    name: str
    recipe: Recipe
    rows: Rows
    max_tokens: int
    tokenizer: Mapping[str, Any]


def make_plan(
    checkpoint: Checkpoint, model: str, chosen: str | None, golden: Path | None, max_tokens: int | None, precision: Precision
) -> Plan:
    """Decide, and refuse; see `export` for arguments and errors."""
    architecture = (checkpoint.config.get("architectures") or ["none"])[0]
    shape: BertShape | DecoderShape
    try:
        if architecture in _LANGUAGE_MODELS | _CLASSIFIERS:
            shape = DecoderShape.from_config(checkpoint.config)
            rope_tables(checkpoint.config, shape.head_size, 1)
        elif architecture in _CROSS_ENCODERS:
            shape = BertShape.from_config(checkpoint.config)
        else:
            known = ", ".join(sorted(_LANGUAGE_MODELS | _CLASSIFIERS | _CROSS_ENCODERS))
            message = f"{checkpoint.path} holds a model of the architecture {architecture}; these can be exported: {known}"
            raise UnsupportedModel(message)
    except KeyError as error:
        message = f"{checkpoint.path / 'config.json'} does not say {error}; copy the checkpoint again"
        raise ModelIncomplete(message) from error
    name = chosen or published_for(checkpoint.path.resolve().name if Path(model).is_dir() else model)
    if name is None and architecture not in _CROSS_ENCODERS:
        message = (
            f"no recipe was published for {model}: say with --recipe how it is to be asked, by a file or "
            f"one of {', '.join(names())}. A wrong prompt gives plausible but wrong scores"
        )
        raise UnsupportedModel(message)
    recipe = find(name) if name else Recipe()
    tokenizer = _tokenizer(checkpoint.path)
    rows: Rows = "score"
    if isinstance(shape, BertShape):
        if recipe.head is not None:
            message = f"the recipe {name} is for language models; {architecture} takes no prompt"
            raise UnsupportedModel(message)
        if precision.calculated_in == "bf16":
            message = f"{architecture} is not calculated in bf16; export with fp16"
            raise UnsupportedModel(message)
    else:
        recipe, rows = _resolved(recipe, name or "", architecture, tokenizer)
    limit = min(max_tokens or recipe.max_tokens or shape.max_tokens, shape.max_tokens)
    told: dict[str, Any] = {"models": (), "max_tokens": limit, "weights": precision.weights, "activations": precision.calculated_in}
    if golden is not None:
        told["golden"] = _golden(golden)
    return Plan(architecture, shape, name or "none", recipe.model_copy(update=told), rows, limit, tokenizer)


def _resolved(recipe: Recipe, name: str, architecture: str, tokenizer: Mapping[str, Any]) -> tuple[Recipe, Rows]:
    """The recipe with the ids of its tokens, and the rows of the head that they are."""
    head = recipe.head
    if head is None:
        message = f"the recipe {name} is for encoders; {architecture} needs a prompt"
        raise UnsupportedModel(message)
    if architecture in _CLASSIFIERS:
        if not isinstance(head, TokenLogits | Classification):
            message = f"the recipe {name} reads tokens, and {architecture} has a classifier instead; export its base model"
            raise UnsupportedModel(message)
        return recipe.model_copy(update={"head": Classification()}), "score"
    match head:
        case TokenLogits():
            ids = {token: _token_id(tokenizer, token) for token in head.tokens}
            if wrong := {token: ids[token] for token, wanted in head.ids.items() if ids[token] != wanted}:
                message = f"the recipe {name} is for another tokenizer: it wants the ids {head.ids}, and this one has {wrong}"
                raise UnsupportedModel(message)
            return recipe.model_copy(update={"head": head.model_copy(update={"ids": ids})}), list(ids.values())
        case Listwise():
            return recipe, [_token_id(tokenizer, identifier) for identifier in head.identifiers]
        case Pairwise():
            return recipe, [_token_id(tokenizer, token) for token in head.tokens]
        case QueryLikelihood():
            return recipe, "all"
        case Classification():
            message = f"the recipe {name} reads a classifier, and {architecture} has none"
            raise UnsupportedModel(message)


def _tokenizer(path: Path) -> Mapping[str, Any]:
    if not (path / "tokenizer.json").is_file():
        message = f"{path} lacks tokenizer.json; save it with AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        raise ModelIncomplete(message)
    return {**read_json(path / "tokenizer.json"), "truncation": None, "padding": None}


def _token_id(tokenizer: Mapping[str, Any], token: str) -> int:
    ids: list[int] = Tokenizer.from_str(json.dumps(tokenizer)).encode(token, add_special_tokens=False).ids
    if len(ids) != 1:
        message = (
            f"the token {token!r}, whose score the recipe reads, is {len(ids)} tokens to this model's tokenizer; choose another"
        )
        raise UnsupportedModel(message)
    return ids[0]


def _golden(file: Path) -> tuple[Golden, ...]:
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        return tuple(Golden(**line) for line in lines)
    except (OSError, ValueError, TypeError) as error:
        message = f"{file} holds no golden pairs, one JSON object a line with query, document, score and source: {error}"
        raise ModelIncomplete(message) from error
