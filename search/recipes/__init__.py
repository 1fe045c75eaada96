"""How is a reranking model asked, and what does its answer mean? Prompts, heads and score maps as data, one JSON file a recipe."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from search.errors import ModelIncomplete, UnsupportedModel
from search.recipes.heads import Classification, Head, Listwise, Pairwise, Part, TokenLogits

_FOLDER = Path(__file__).parent
ITSELF = "export"  # the source of golden scores that prove nothing but that a model has not changed


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

    query: str
    document: str
    score: float
    source: str
    probability: float | None = None
    tolerance: PositiveFloat | None = None


class Recipe(Part):
    """How a reranking model is asked and how its score is used.

    Attributes:
        weight: share of the reranker in the ranking: 1 ranks by its score alone; below, by a mix of z-normalised scores.
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
        query_with_instruction: what stands for the query where an instruction is given; None: the model takes none.
        instruction: the one that is given where the user gives none.
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
    max_tokens: PositiveInt | None = None
    max_texts: PositiveInt | None = None
    ordered: bool = False
    scale: PositiveFloat | None = None
    bias: FiniteFloat = 0.0
    points: tuple[tuple[FiniteFloat, Annotated[float, Field(ge=0, le=1)]], ...] = ()
    calibrated_on: str = ""
    column: NonNegativeInt | None = None
    head: Head | None = None
    template: str | None = None
    query_with_instruction: str | None = None
    instruction: str | None = None
    strip: bool = False
    special_tokens: bool = True
    golden: tuple[Golden, ...] = ()
    models: tuple[str, ...] = ()
    note: str = ""
    score_unit: str | None = None
    weights: str | None = None
    activations: str | None = None

    @classmethod
    def read(cls, recipe: Mapping[str, Any], where: str) -> "Recipe":
        """Check a recipe.

        Raises:
            ModelIncomplete: with what is wrong in it.
        """
        try:
            return cls(**recipe)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors(include_input=False)
            )
            message = f"{where} cannot be used: {problems}"
            raise ModelIncomplete(message) from error

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        if self.points and self.scale is not None:
            message = "scale or points give the probability, not both"
            raise ValueError(message)
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(self.points)):
            message = "points must rise, in score and in probability"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _template_fits_head(self) -> Self:
        if self.head is None:
            if self.template is not None:
                message = "a template without a head: say what is to be read from the model"
                raise ValueError(message)
            return self
        if self.column is not None:
            message = "a head and a column: a language model's head says itself what is read"
            raise ValueError(message)
        _check_slots("template", self.template, _SLOTS[self.head.kind])
        if isinstance(self.head, Listwise):
            _check_slots("item", self.head.item, {"identifier", "document"})
        if self.query_with_instruction is not None:
            _check_slots("query_with_instruction", self.query_with_instruction, {"query", "instruction"})
        elif self.instruction is not None:
            message = "an instruction without query_with_instruction, which says where it stands"
            raise ValueError(message)
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
        instruction = self.instruction.replace("{", "{{").replace("}", "}}")
        return template.replace("{query}", self.query_with_instruction.replace("{instruction}", instruction))

    def prompts(self) -> list[str]:
        """Every template a model of this recipe is asked with: one, or for lists one for each number of passages in a window."""
        if not isinstance(self.head, Listwise):
            return [self.prompt()]
        items = [
            self.head.item.replace("{identifier}", identifier).replace("{document}", f"{{p{place}}}")
            for place, identifier in enumerate(self.head.identifiers[: self.head.window])
        ]
        return [self.prompt().replace("{passages}", "".join(items[:count])) for count in range(1, len(items) + 1)]

    def sample(self) -> str:
        """A prompt with a word in each slot: what stands before a token decides how it is written."""
        template = self.prompts()[-1]
        return template.format(**{name: "word" for _, name, _, _ in Formatter().parse(template) if name})

    @property
    def compares(self) -> bool:
        """Whether texts are compared with one another, so that none has a score of its own."""
        return self.ordered or isinstance(self.head, Listwise | Pairwise)

    @property
    def begins_with_query(self) -> bool:
        """Whether the prompts of a query begin alike, up to the document."""
        return isinstance(self.head, TokenLogits | Classification) and self.prompt().index("{query}") < self.prompt().index(
            "{document}"
        )

    @property
    def unit(self) -> str:
        """What the score is, in words."""
        return self.score_unit or _UNITS.get(self.head.kind if self.head else "", "reranker logit")

    @property
    def has_probability(self) -> bool:
        """Whether there is a map from score to probability."""
        return self.scale is not None or bool(self.points)

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
    if not file.is_file():
        message = f"no recipe is called {name!r}; there are {', '.join(names())}, or give the path of a JSON file"
        raise UnsupportedModel(message)
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
        return Recipe.read(loaded, str(file))
    except (OSError, ValueError, TypeError) as error:
        message = f"{file} cannot be read: {error}"
        raise ModelIncomplete(message) from error


def published_for(model: str) -> str | None:
    """The name of the recipe that was published for a model of the hub, or for one in a folder of the same name."""
    for name in names():
        if any(model in {known, known.partition("/")[2]} for known in find(name).models):
            return name
    return None


def _check_slots(what: str, template: str | None, wanted: set[str]) -> None:
    found = {name for _, name, _, _ in Formatter().parse(template or "") if name is not None}
    if found != wanted:
        message = f"{what} has the slots {sorted(found)}, but must have {sorted(wanted)}"
        raise ValueError(message)
