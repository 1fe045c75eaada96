"""What does a config.json describe? Dimensions, and the tensors that a checkpoint of it must hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.errors import UnsupportedModel

Config = Mapping[str, Any]
Tensors = dict[str, tuple[int, ...]]  # dimensions by name

_DECODERS = ("llama", "mistral", "qwen2", "qwen3")
_ENCODERS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta."}
_FULL = "full_attention"
_SLIDING = "sliding_attention"
_KERNEL_STEP = 16
_WIDEST_HEAD = 1024
_MOST_LAYERS = 1_000  # the largest published models have some 130
_MOST_TOKENS = 1 << 31
_QUOTED = 200  # characters of a value in messages


@dataclass(frozen=True)
class DecoderShape:
    """What the graph of a decoder needs to know.

    Attributes:
        width: of a token's vector.
        inner: of the layer between gate and down.
        windows: for each layer how many tokens one may look back to, itself included; -1 for all.
        head_norm: whether each head's queries and keys are normalised (Qwen3).
        qkv_bias, output_bias, mlp_bias: which matrices have one.
        tied: whether the embeddings are the head for the next token, too.
        classifier: whether it has a classifier instead of that head.
        max_tokens: the longest input the model was made for.
    """

    width: int
    inner: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float
    windows: tuple[int, ...]
    head_norm: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    tied: bool
    classifier: bool
    max_tokens: int

    @classmethod
    def from_config(cls, config: Config) -> "DecoderShape":
        """Read a Hugging Face config.

        Raises:
            UnsupportedModel: another architecture, activation or attention than the graph computes.
            KeyError, TypeError, ValueError: a value is missing or of the wrong kind.
        """
        kind = config.get("model_type")
        _only(config, "model_type", _DECODERS)
        _only(config, "hidden_act", ("silu",))
        _only(config, "is_causal", (True,))
        heads = int(config["num_attention_heads"])
        size = config.get("head_dim") or (128 if kind == "qwen3" and "head_dim" not in config else config["hidden_size"] // heads)
        if size % _KERNEL_STEP or not 0 < size <= _WIDEST_HEAD:
            raise UnsupportedModel(
                f"config.json has heads of {size} dimensions; the attention kernel takes multiples of {_KERNEL_STEP} only, "
                f"up to {_WIDEST_HEAD}"
            )
        kv_heads = int(config.get("num_key_value_heads") or heads)
        if heads < 1 or kv_heads < 1 or heads % kv_heads:
            message = f"config.json has {heads} heads and {kv_heads} for keys, of which each must serve as many; copy it again"
            raise UnsupportedModel(message)
        bias = bool(config.get("attention_bias", False)) and kind in {"llama", "qwen3"}
        return cls(
            width=int(config["hidden_size"]),
            inner=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            heads=heads,
            kv_heads=kv_heads,
            head_size=int(size),
            epsilon=_epsilon(config["rms_norm_eps"]),
            windows=_windows(config),
            head_norm=kind == "qwen3",
            qkv_bias=bias or kind == "qwen2",
            output_bias=bias,
            mlp_bias=bool(config.get("mlp_bias", False)) and kind == "llama",
            tied=bool(config.get("tie_word_embeddings", False)),
            classifier="Classification" in config["architectures"][0],
            max_tokens=int(config["max_position_embeddings"]),
        )

    def tensors(self) -> Tensors:
        """What the checkpoint must hold, no more and no less."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        tensors: Tensors = {"model.embed_tokens.weight": (self.vocabulary, self.width), "model.norm.weight": (self.width,)}
        if self.classifier:
            tensors["score.weight"] = (1, self.width)
        elif not self.tied:
            tensors["lm_head.weight"] = (self.vocabulary, self.width)
        for number in range(len(self.windows)):
            layer = f"model.layers.{number}"
            for name, outputs, inputs, bias in (
                ("self_attn.q_proj", queries, self.width, self.qkv_bias),
                ("self_attn.k_proj", keys, self.width, self.qkv_bias),
                ("self_attn.v_proj", keys, self.width, self.qkv_bias),
                ("self_attn.o_proj", self.width, queries, self.output_bias),
                ("mlp.gate_proj", self.inner, self.width, self.mlp_bias),
                ("mlp.up_proj", self.inner, self.width, self.mlp_bias),
                ("mlp.down_proj", self.width, self.inner, self.mlp_bias),
            ):
                tensors[f"{layer}.{name}.weight"] = (outputs, inputs)
                if bias:
                    tensors[f"{layer}.{name}.bias"] = (outputs,)
            for name in ("input_layernorm", "post_attention_layernorm"):
                tensors[f"{layer}.{name}.weight"] = (self.width,)
            if self.head_norm:
                tensors |= {f"{layer}.self_attn.{which}_norm.weight": (self.head_size,) for which in "qk"}
        return tensors


@dataclass(frozen=True)
class BertShape:
    """What the graph of an encoder needs to know.

    Attributes:
        layers: transformer layers.
        heads: attention heads.
        width: of a token's vector.
        epsilon: of the layer norms.
        inner: of the layer between; 0 for four times the width.
        vocabulary: rows of the table of words.
        prefix: what the names of the encoder's tensors begin with.
        first_position: where positions begin; RoBERTa's lie behind that of its padding token.
        positions: rows of the position table.
        types: kinds of tokens; with a single one, there is no such input.
    """

    layers: int
    heads: int
    width: int
    epsilon: float
    inner: int = 0
    vocabulary: int = 30522
    prefix: str = "bert."
    first_position: int = 0
    positions: int = 512
    types: int = 2

    @classmethod
    def from_config(cls, config: Config) -> "BertShape":
        """Read a Hugging Face config.

        Raises:
            UnsupportedModel: not of the family, or with positions, an activation or a mask that this graph does not compute.
            KeyError, TypeError, ValueError: a value is missing or of the wrong kind.
        """
        _only(config, "model_type", tuple(_ENCODERS))
        _only(config, "hidden_act", ("gelu",))
        _only(config, "position_embedding_type", ("absolute",))
        _only(config, "is_decoder", (False,))
        kind = str(config["model_type"])
        heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
        if heads < 1 or width % heads:
            raise UnsupportedModel(f"config.json has {width} dimensions in {heads} heads, which are not of one size; copy it again")
        first_position = 0 if kind == "bert" else int(config.get("pad_token_id", 1)) + 1
        if first_position < 0:
            raise ValueError(f"pad_token_id is {first_position - 1}")
        return cls(
            layers=_layers(config),
            heads=heads,
            width=width,
            epsilon=_epsilon(config["layer_norm_eps"]),
            inner=int(config.get("intermediate_size", 0)),
            vocabulary=int(config.get("vocab_size", 30522)),
            prefix=_ENCODERS[kind],
            first_position=first_position,
            positions=int(config.get("max_position_embeddings", 512)),
            types=int(config.get("type_vocab_size", 2)),
        )

    @property
    def max_tokens(self) -> int:
        """The longest input, special tokens included."""
        return self.positions - self.first_position

    def tensors(self) -> Tensors:
        """What the checkpoint of a cross-encoder must hold, no more and no less."""
        width, inner = self.width, self.inner or 4 * self.width
        tables = {"word": self.vocabulary, "position": self.positions, "token_type": self.types}
        tensors: Tensors = {f"{self.prefix}embeddings.{name}_embeddings.weight": (rows, width) for name, rows in tables.items()}
        norms = [f"{self.prefix}embeddings"]
        dense = {"bert.pooler.dense": (width, width), "classifier": (1, width)}
        if self.prefix != "bert.":
            dense = {"classifier.dense": (width, width), "classifier.out_proj": (1, width)}
        for number in range(self.layers):
            layer = f"{self.prefix}encoder.layer.{number}"
            norms += [f"{layer}.attention.output", f"{layer}.output"]
            dense |= {f"{layer}.attention.self.{part}": (width, width) for part in ("query", "key", "value")}
            dense[f"{layer}.attention.output.dense"] = (width, width)
            dense |= {f"{layer}.intermediate.dense": (inner, width), f"{layer}.output.dense": (width, inner)}
        for name, sizes in dense.items():
            tensors |= {f"{name}.weight": sizes, f"{name}.bias": sizes[:1]}
        for name in norms:
            tensors |= {f"{name}.LayerNorm.weight": (width,), f"{name}.LayerNorm.bias": (width,)}
        return tensors


def _only(config: Config, key: str, known: tuple[Any, ...]) -> None:
    if config.get(key, known[0]) not in known:
        message = f"config.json has {key} = {config[key]!r:.200}; this graph computes {', '.join(map(repr, known))} only"
        raise UnsupportedModel(message)


def _windows(config: Config) -> tuple[int, ...]:
    """Defaults are those of the families' configs in transformers."""
    layers = _layers(config)
    kind, window = config["model_type"], config.get("sliding_window", 4096)
    if kind == "llama" or window is None or (kind != "mistral" and not config.get("use_sliding_window", False)):
        types = [_FULL] * layers
    elif kind == "mistral":
        types = [_SLIDING] * layers
    else:
        first = config.get("max_window_layers", 28)
        types = config.get("layer_types") or [_SLIDING if number >= first else _FULL for number in range(layers)]
    if len(types) != layers or set(types) - {_SLIDING, _FULL}:
        message = f"config.json has layer_types = {str(types)[:_QUOTED]}; this graph computes {_FULL} and {_SLIDING}, one a layer"
        raise UnsupportedModel(message)
    if _SLIDING in types and not 0 < int(window) < _MOST_TOKENS:
        raise UnsupportedModel(f"config.json has sliding_window = {str(window)[:_QUOTED]}; it is a number of tokens")
    return tuple(int(window) if each == _SLIDING else -1 for each in types)


def _layers(config: Config) -> int:
    layers = int(config["num_hidden_layers"])
    if not 0 < layers <= _MOST_LAYERS:
        raise UnsupportedModel(f"config.json describes a model of {layers} layers; copy the checkpoint again")
    return layers


def _epsilon(value: Any) -> float:
    """What keeps a norm from dividing by 0."""
    epsilon = float(value)
    if not 0 <= epsilon < 1:
        raise ValueError(f"the norms' epsilon is {epsilon}")
    return epsilon
