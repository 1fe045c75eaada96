"""What will an export write? Every choice is made, and all refused that is not implemented, before a byte is written."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from tokenizers import Tokenizer

from search.errors import ModelIncomplete, SearchError, UnsupportedModel
from search.export.checkpoint import Checkpoint
from search.export.decoder import Rows
from search.export.precision import Precision
from search.export.rope import rope_tables
from search.export.shapes import BertShape, DecoderShape
from search.inference.prompt import Prompt
from search.inference.tokens import LEAST_ROOM, TextTokenizer
from search.models.files import is_there, read_bytes, read_json
from search.models.tokenizer_files import spelt
from search.reranking.heads import Classification, QueryLikelihood, TokenLogits, read_tokens
from search.reranking.recipe import Golden, Recipe, find, names, published_for

_DECODERS = ("Qwen3", "Qwen2", "Llama", "Mistral")
_ENCODERS = ("Bert", "Roberta", "XLMRoberta")
_LANGUAGE_MODELS = {f"{family}ForCausalLM" for family in _DECODERS}
_CLASSIFIERS = {f"{family}ForSequenceClassification" for family in _DECODERS}
_CROSS_ENCODERS = {f"{family}ForSequenceClassification" for family in _ENCODERS}
_HEADS = ("score.weight", "classifier.weight", "classifier.out_proj.weight")  # of classifiers
_STEP = 4096  # rows compared at once
_MOST_TOKENS = 1 << 20  # of a prompt; the table of their positions takes some 500 MB then


@dataclass(frozen=True)
class Plan:
    """What will be written, every choice made.

    Attributes:
        name: of the recipe, "none" for an encoder without one.
        rows: what is read of a decoder's head.
        continues: whether the graph takes a past.
        tokenizer: tokenizer.json, without truncation and padding.
        special: the special tokens by their roles, as FastEmbed wants them of an encoder.
    """

    architecture: str
    shape: BertShape | DecoderShape
    name: str
    recipe: Recipe
    rows: Rows
    max_tokens: int
    continues: bool
    tokenizer: Mapping[str, Any]
    special: Mapping[str, Any]

    def devices(self, precision: Precision) -> tuple[str, ...]:
        """Where it can run: the attention of language models has no kernel in fp32 on CUDA, nor has bf16 any on the CPU."""
        if isinstance(self.shape, BertShape):
            return "cpu", "cuda"
        return {"fp32": ("cpu",), "fp16": ("cpu", "cuda"), "bf16": ("cuda",)}[precision.calculated_in]


def make_plan(
    checkpoint: Checkpoint, model: str, chosen: str | None, golden: Path | None, max_tokens: int | None, precision: Precision
) -> Plan:
    """Decide, and refuse; see `export` for arguments and errors."""
    architecture, shape = _shape(checkpoint)
    published = published_for(checkpoint.path.resolve().name if Path(model).is_dir() else model)
    named = checkpoint.config.get("auto_map") or {}
    code = [str(key)[:100] for key in named if str(key).startswith("AutoModel")] if isinstance(named, dict) else [str(named)[:100]]
    if code and published is None:  # of published models it is known that their code computes nothing else
        message = f"{checkpoint.path / 'config.json'} names code of its own for {', '.join(code)}, which this graph does not know"
        raise UnsupportedModel(message)
    beside = checkpoint.path / "recipe.json"  # where scripts/train_reranker.py leaves it
    name = chosen or published or (str(beside) if beside.is_file() else None)
    if name is None and architecture not in _CROSS_ENCODERS:
        raise UnsupportedModel(
            f"no recipe was published for {model}: say with --recipe how it is to be asked, by a file or "
            f"one of {', '.join(names())}. A wrong prompt gives plausible but wrong scores"
        )
    recipe = find(name) if name else Recipe()
    tokenizer, loaded = _tokenizer(checkpoint.path)
    limit = _limit(checkpoint, shape, max_tokens or recipe.max_tokens)
    rows: Rows = "score"
    special: Mapping[str, Any] = {}
    if isinstance(shape, BertShape):
        if recipe.head is not None:
            raise UnsupportedModel(f"the recipe {name} is for language models; {architecture} takes no prompt")
        if precision.calculated_in == "bf16":
            raise UnsupportedModel(f"{architecture} is not calculated in bf16; export with fp16")
        special = _special_tokens(checkpoint, tokenizer)
    else:
        recipe, rows = _resolved(recipe, name or "", architecture, loaded, limit)
        if isinstance(rows, list) and max(rows) >= shape.vocabulary:
            raise ModelIncomplete(f"{checkpoint.path}: the tokenizer has more tokens than the model; copy the checkpoint again")
    changes: dict[str, Any] = {"models": (), "max_tokens": limit}
    changes |= {"weights": precision.weights, "activations": precision.calculated_in}
    if golden is not None:
        if recipe.compares:
            message = f"the recipe {name} compares texts with one another, so that no pair has a score; leave --golden out"
            raise UnsupportedModel(message)
        changes["golden"] = _golden(golden)
    continues = precision.calculated_in == "fp32" and not isinstance(shape, BertShape) and recipe.begins_with_query
    return Plan(architecture, shape, name or "none", recipe.model_copy(update=changes), rows, limit, continues, tokenizer, special)


def _shape(checkpoint: Checkpoint) -> tuple[str, BertShape | DecoderShape]:
    """What the checkpoint is, after a look at all its tensors."""
    config = checkpoint.config
    shape: BertShape | DecoderShape
    try:
        architecture = str((config.get("architectures") or ["none"])[0])[:100]
        if architecture in _LANGUAGE_MODELS | _CLASSIFIERS:
            shape = DecoderShape.from_config(config)
            rope_tables(config, shape.head_size, 2)
        elif architecture in _CROSS_ENCODERS:
            shape = BertShape.from_config(config)
        else:
            known = ", ".join(sorted(_LANGUAGE_MODELS | _CLASSIFIERS | _CROSS_ENCODERS))
            message = f"{checkpoint.path} holds a model of the architecture {architecture}; these can be exported: {known}"
            raise UnsupportedModel(message)
    except SearchError:
        raise
    except KeyError as error:
        raise ModelIncomplete(f"{checkpoint.path / 'config.json'} does not say {error}; copy the checkpoint again") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        message = f"{checkpoint.path / 'config.json'} cannot be understood ({str(error)[:500]}); copy the checkpoint again"
        raise ModelIncomplete(message) from error
    classes = next((checkpoint[name].shape[:1] for name in _HEADS if name in checkpoint), (1,))
    if architecture in _CLASSIFIERS | _CROSS_ENCODERS and classes not in {(1,), ()}:  # one without dimensions is refused below
        raise UnsupportedModel(f"the classifier of {checkpoint.path} gives {classes[0]} scores; a reranker has one")
    wanted = shape.tensors()
    if isinstance(shape, DecoderShape) and shape.tied and "lm_head.weight" in checkpoint:
        wanted["lm_head.weight"] = (shape.vocabulary, shape.width)
        checkpoint.check(wanted)
        if not _alike(checkpoint, "lm_head.weight", "model.embed_tokens.weight", shape.vocabulary):
            shape = replace(shape, tied=False)  # as transformers has it: what is stored twice and differs is not tied
    checkpoint.check(wanted)
    return architecture, shape


def _limit(checkpoint: Checkpoint, shape: BertShape | DecoderShape, wanted: int | None) -> int:
    """The longest prompt."""
    limit = min(wanted or shape.max_tokens, shape.max_tokens)
    if limit > _MOST_TOKENS:
        message = f"{checkpoint.path} reads {limit:,} tokens; name a smaller number with --max-tokens, {_MOST_TOKENS:,} at most"
        raise UnsupportedModel(message)
    if limit < LEAST_ROOM:
        message = f"{checkpoint.path} reads {limit} tokens by its config.json and --max-tokens, which leaves no room for a text"
        raise ModelIncomplete(message)
    return limit


def _alike(checkpoint: Checkpoint, first: str, second: str, rows: int) -> bool:
    a, b = checkpoint[first], checkpoint[second]
    return all(np.array_equal(a[start : start + _STEP], b[start : start + _STEP]) for start in range(0, rows, _STEP))


def _resolved(recipe: Recipe, name: str, architecture: str, tokenizer: TextTokenizer, limit: int) -> tuple[Recipe, Rows]:
    """The recipe with the ids of its tokens, and the rows of the head that they are."""
    head = recipe.head
    if head is None:
        raise UnsupportedModel(f"the recipe {name} is for encoders; {architecture} needs a prompt")
    if architecture in _CLASSIFIERS:
        if not isinstance(head, TokenLogits | Classification):
            message = f"the recipe {name} reads tokens, and {architecture} has a classifier instead; export its base model"
            raise UnsupportedModel(message)
        head = Classification()
        recipe = recipe.model_copy(update={"head": head})
    elif isinstance(head, Classification):
        raise UnsupportedModel(f"the recipe {name} reads a classifier, and {architecture} has none")
    for template in recipe.prompts():
        Prompt(template, tokenizer, max_tokens=limit, special_tokens=recipe.special_tokens)
    if isinstance(head, Classification | QueryLikelihood):
        return recipe, "score" if isinstance(head, Classification) else "all"
    ids = {token: tokenizer.next_token(recipe.sample(), token) for token in read_tokens(head)}
    if wrong := {token: ids[token] for token, wanted in head.ids.items() if ids[token] != wanted}:
        message = f"the recipe {name} is for another tokenizer: it wants the ids {head.ids}, and this one has {wrong}"
        raise UnsupportedModel(message)
    return recipe.model_copy(update={"head": head.model_copy(update={"ids": ids})}), list(ids.values())


def _tokenizer(path: Path) -> tuple[Mapping[str, Any], TextTokenizer]:
    file = path / "tokenizer.json"
    if not is_there(file):
        raise ModelIncomplete(f"{path} lacks tokenizer.json; save it with AutoTokenizer.from_pretrained(…).save_pretrained(…)")
    content = {**read_json(file), "truncation": None, "padding": None}
    try:
        return content, TextTokenizer(Tokenizer.from_str(json.dumps(content)))
    except Exception as error:  # the tokenizers library raises nothing more exact
        raise ModelIncomplete(f"{file} is no tokenizer ({str(error)[:500]}); copy the checkpoint again") from error


def _special_tokens(checkpoint: Checkpoint, tokenizer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The special tokens of an encoder, without which FastEmbed does not load it: the one for padding at least."""
    config = read_json(checkpoint.path / "tokenizer_config.json", default={})
    stated = {key: value for key, value in config.items() if key.endswith("_token") and value is not None}
    special = spelt({**stated, **read_json(checkpoint.path / "special_tokens_map.json", default={})})
    if "pad_token" not in special:
        wanted = checkpoint.config.get("pad_token_id", 0)
        padding = [token["content"] for token in tokenizer.get("added_tokens", []) if token.get("id") == wanted]
        if not padding:
            message = f"{checkpoint.path} does not say which token pads a text; add pad_token to its tokenizer_config.json"
            raise ModelIncomplete(message)
        special["pad_token"] = padding[0]
    return special


def _golden(file: Path) -> tuple[Golden, ...]:
    try:
        lines = io.StringIO(read_bytes(file).decode("utf-8"), newline=None)  # not splitlines(), which also splits at U+2028
        return tuple(Golden(**json.loads(line)) for line in lines if line.strip())
    except (ValueError, TypeError, RecursionError, ValidationError) as error:
        message = f"{file} holds no golden pairs, one JSON object a line with query, document, score and source: {str(error)[:500]}"
        raise ModelIncomplete(message) from error
