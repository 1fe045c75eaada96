"""How is a reranking model prompted, and what does its output mean? Prompts, heads and score maps, one JSON file a recipe."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from search.errors import ModelIncomplete, UnsupportedModel
from search.models.files import is_there, read_json
from search.reranking.heads import Classification, Head, Listwise, Pairwise, Part, Template, TokenLogits

_FOLDER = Path(__file__).parent / "recipes"
ITSELF = "export"  # the source of golden scores that prove nothing but that a model has not changed
_WIDEST = 2.0  # tolerance: more than int4 takes of a score, and with it any other prompt would pass
_LARGEST = 1e9  # score of a point
_OVER_HYBRID = 0.6  # of a share that was chosen over vectors alone
_MOST_PAIRS, _MOST_TOKENS, _MOST_COLUMNS = 1_000, 1 << 20, 1 << 20
_LONGEST = 100_000  # characters of a pair's texts
_PROBLEMS, _PLACE = 5, 80  # that a message tells, and characters of where each is

_SLOTS = {
    "token_logits": {"query", "document"},
    "classification": {"query", "document"},
    "query_likelihood": {"query", "document"},
    "listwise": {"query", "passages"},
    "pairwise": {"query", "a", "b"},
}
_UNITS = {
    "query_likelihood": "mean log-probability of the query",
    "listwise": "1 / place in the model's order",
    "pairwise": "share of comparisons won",
}


class Golden(Part):
    """A pair and the score that the model must give it.

    Attributes:
        source: who says so; "export" for the exported model itself.
        probability: what the score map must make of the score, where that is published.
        tolerance: by how much the score may differ; None: what the precision explains.
    """

    query: str = Field(max_length=_LONGEST)
    document: str = Field(max_length=_LONGEST)
    score: FiniteFloat
    source: str
    probability: float | None = Field(None, ge=0, le=1)
    tolerance: float | None = Field(None, gt=0, le=_WIDEST)


class Recipe(Part):
    """How a reranking model is prompted and how its score is used.

    Attributes:
        weight: share of the reranker in the ranking: 1 ranks by its score alone; below, by a mix of z-normalised scores.
        weight_over_hybrid: the same where candidates were found by words, too, so that there is less to gain; None: six tenths of
            `weight`, if that is below 1.
        max_tokens: the longest prompt, special tokens included; None: what the model's files say.
        max_texts: how many candidates of a query are reranked at most, where comparing them costs their square; None: all.
        ordered: whether a score is a place in one answer's order, which means nothing beside another answer's.
        scale: the score's probability is 1 / (1 + exp(-(score / scale + bias))); None where no such map is known.
        bias: see scale.
        points: instead of a scale, scores and their probabilities, both rising; straight lines between them, level outside.
        calibrated_on: where scale or points come from, if the user's own judgements gave them.
        column: of an encoder whose classifier gives several numbers, the one that means relevant, from 0; its score is that
            class's log-odds against the others. None: the classifier gives one, which is the score.
        head: what is read from a language model; None for an encoder, which has its classifier.
        template: the prompt, with {query} and the head's other slots; None for an encoder.
        query_with_instruction: what stands for the query together with an instruction; None: the model takes none.
        instruction: the default one, where the user sets none.
        strip: whether query and document lose the white space around them.
        special_tokens: whether the tokenizer adds its own, such as a token that begins every text.
        golden: pairs the model must score as recorded before it is served.
        models: the checkpoints on the model hub that this recipe was published for.
        note: what a user should know, such as what to check in the licence.
        score_unit: what the score is, in words; None: what the head says.
        weights: as `search export` stored them, and …
        activations: … what it calculates in.
    """

    weight: float = Field(1.0, ge=0, le=1)
    weight_over_hybrid: float | None = Field(None, ge=0, le=1)
    max_tokens: PositiveInt | None = Field(None, le=_MOST_TOKENS)
    max_texts: PositiveInt | None = None
    ordered: bool = False
    scale: FiniteFloat | None = Field(None, gt=0)
    bias: FiniteFloat = 0.0
    points: tuple[tuple[Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)], Annotated[float, Field(ge=0, le=1)]], ...] = ()
    calibrated_on: str = ""
    column: int | None = Field(None, ge=0, lt=_MOST_COLUMNS)
    head: Head | None = None
    template: Template | None = None
    query_with_instruction: Template | None = None
    instruction: str | None = Field(None, max_length=_LONGEST)
    strip: bool = False
    special_tokens: bool = True
    golden: tuple[Golden, ...] = Field((), max_length=_MOST_PAIRS)
    models: tuple[str, ...] = ()
    note: str = ""
    score_unit: str | None = None
    weights: str | None = None
    activations: str | None = None

    @classmethod
    def read(cls, recipe: Mapping[str, Any], where: str) -> "Recipe":
        """Check a recipe; ModelIncomplete with what is wrong in it."""
        try:
            return cls(**recipe)
        except ValidationError as error:
            errors = error.errors(include_input=False)
            problems = [f"{'.'.join(map(str, e['loc']))[:_PLACE] or 'recipe'}: {e['msg'][:500]}" for e in errors[:_PROBLEMS]]
            more = [f"and {len(errors) - _PROBLEMS} more"] if len(errors) > _PROBLEMS else []
            raise ModelIncomplete(f"{where} cannot be used: {'; '.join([*problems, *more])}") from error

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        if self.points and self.scale is not None:
            raise ValueError("scale or points give the probability, not both")
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(self.points)):
            raise ValueError("points must rise, in score and in probability")
        return self

    @model_validator(mode="after")
    def _template_fits_head(self) -> Self:
        if self.head is None:
            if self.template is not None:
                raise ValueError("a template without a head: say what is to be read from the model")
            return self
        if self.column is not None:
            raise ValueError("a head and a column: a language model's head says itself what is read")
        _check_slots("template", self.template, _SLOTS[self.head.kind])
        if isinstance(self.head, Listwise):
            _check_slots("item", self.head.item, {"identifier", "document"})
        if self.query_with_instruction is not None:
            _check_slots("query_with_instruction", self.query_with_instruction, {"query", "instruction"})
        elif self.instruction is not None:
            raise ValueError("an instruction without query_with_instruction, which says where it stands")
        return self

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as plain data that `read` takes."""
        head = {"head": self.head.model_dump()} if self.head else {}
        return self.model_dump(exclude_defaults=True) | head

    def prompt(self) -> str:
        """The template with the instruction, if there is one, in its place."""
        template = self.template or ""
        if self.instruction is None or self.query_with_instruction is None:
            return template
        return filled(template, {"query": filled(self.query_with_instruction, {"instruction": escaped(self.instruction)})})

    def prompts(self) -> list[str]:
        """Every template of this recipe: one, or for lists one for each number of passages in a window."""
        if not isinstance(self.head, Listwise):
            return [self.prompt()]
        items = [
            filled(self.head.item, {"identifier": identifier, "document": f"{{p{place}}}"})
            for place, identifier in enumerate(self.head.identifiers[: self.head.window])
        ]
        prompt = self.prompt()
        return [filled(prompt, {"passages": "".join(items[:count])}) for count in range(1, len(items) + 1)]

    def sample(self) -> str:
        """A prompt with a word in each slot: what stands before a token decides how it is written."""
        return "".join(literal + ("word" if slot else "") for literal, slot in parts(self.prompts()[-1]))

    @property
    def compares(self) -> bool:
        """Whether texts are compared with one another, so that none has a score of its own."""
        return self.ordered or isinstance(self.head, Listwise | Pairwise)

    @property
    def begins_with_query(self) -> bool:
        """Whether the prompts of a query begin alike, up to the document."""
        slots = [slot for _, slot in parts(self.prompt()) if slot]
        return isinstance(self.head, TokenLogits | Classification) and slots.index("query") < slots.index("document")

    @property
    def unit(self) -> str:
        """What the score is, in words."""
        return self.score_unit or _UNITS.get(self.head.kind if self.head else "", "reranker logit")

    @property
    def has_probability(self) -> bool:
        """Whether there is a map from score to probability."""
        return self.scale is not None or bool(self.points)

    def share(self, *, fused: bool) -> float:
        """The reranker's share in the ranking, over what was found by vectors and words (fused), or by one of them."""
        if not fused:
            return self.weight
        if self.weight_over_hybrid is not None:
            return self.weight_over_hybrid
        return self.weight if self.weight == 1 else _OVER_HYBRID * self.weight

    def weighted(self, weight: float) -> "Recipe":
        """The same with another share, whatever the candidates were found by."""
        return self.model_copy(update={"weight": weight, "weight_over_hybrid": weight})

    def probability(self, score: float) -> float | None:
        """The chance that a text with this score is relevant, 0 to 1; None where the recipe has no map."""
        if self.points:
            place = bisect_right(self.points, score, key=itemgetter(0))
            if place in {0, len(self.points)}:
                return self.points[max(0, place - 1)][1]
            (left, low), (right, high) = self.points[place - 1 : place + 1]
            return low + (high - low) * (score - left) / (right - left)
        if self.scale is None:
            return None
        return 0.5 * (1 + math.tanh((score / self.scale + self.bias) / 2))  # the logistic function, without overflow


def names() -> list[str]:
    """The recipes that come with this package."""
    return sorted(file.stem for file in _FOLDER.glob("*.json"))


def find(name: str) -> Recipe:
    """A recipe by name, or from a file.

    Raises:
        UnsupportedModel: neither.
        ModelIncomplete: it cannot be understood.
    """
    file = _FOLDER / f"{name}.json" if name in names() else Path(name)
    if not is_there(file):
        raise UnsupportedModel(f"no recipe is called {name!r}; there are {', '.join(names())}, or give the path of a JSON file")
    return Recipe.read(read_json(file), str(file))


def published_for(model: str) -> str | None:
    """The name of the recipe that was published for a model of the hub, or for one in a folder of the same name."""
    for name in names():
        if any(model in {known, known.partition("/")[2]} for known in find(name).models):
            return name
    return None


def parts(template: str) -> list[tuple[str, str | None]]:
    """A template as pieces of text, and the slot behind each, if there is one."""
    return [(literal, slot) for literal, slot, _, _ in Formatter().parse(template)]


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with some slots replaced by other templates."""
    return "".join(
        escaped(literal) + ("" if slot is None else values.get(slot, f"{{{slot}}}")) for literal, slot in parts(template)
    )


def escaped(text: str) -> str:
    """A text as a template has it."""
    return text.replace("{", "{{").replace("}", "}}")


def _check_slots(what: str, template: str | None, wanted: set[str]) -> None:
    """A slot is its name in braces. Conversions, formats and attributes, which Python's own templates have, are none here."""
    try:
        plain = template is None or filled(template, {}) == template
    except ValueError:  # a brace without another
        plain = False
    if not plain:
        message = f"{what} has something else in braces than a plain slot, one of {sorted(wanted)}; double the braces of plain text"
        raise ValueError(message)
    slots = {slot for _, slot in parts(template or "") if slot is not None}
    if slots != wanted:
        raise ValueError(f"{what} has the slots {sorted(slots)}, but must have {sorted(wanted)}")
