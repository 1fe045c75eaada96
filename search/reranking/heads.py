"""What is read from a language model? The kinds of answers that prompts ask for."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

Template = Annotated[str, Field(max_length=20_000)]
_MOST_READ = 100  # tokens


class Part(BaseModel):
    """Plain data that knows its fields, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenLogits(Part):
    """The score is a weighted sum of the logits of a few tokens, as the next one after the prompt."""

    kind: Literal["token_logits"] = "token_logits"
    tokens: dict[str, FiniteFloat] = Field(
        min_length=1, max_length=_MOST_READ, description="The weight of each token: {Yes: 1}, or {yes: 1, no: -1}."
    )
    ids: dict[str, int] = Field(default_factory=dict, description="What the tokens' ids must be, where that is published.")

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if not any(self.tokens.values()):
            raise ValueError("all tokens weigh nothing, so that every text would have the same score")
        return self


class Classification(Part):
    """The score is that of a classifier on the last token (…ForSequenceClassification)."""

    kind: Literal["classification"] = "classification"


class QueryLikelihood(Part):
    """The score is the mean log-probability of the query's tokens after the document (arXiv:2204.07496)."""

    kind: Literal["query_likelihood"] = "query_likelihood"


class Listwise(Part):
    """The model reads a window of passages and the logits of their identifiers order it (arXiv:2304.09542, arXiv:2406.15657)."""

    kind: Literal["listwise"] = "listwise"
    identifiers: str = Field("ABCDEFGHIJKLMNOPQRST", min_length=2, max_length=_MOST_READ, description="One character a passage.")
    item: Template = Field(description="How a passage stands in the prompt: with {identifier} and {document}.")
    window: int = Field(20, ge=2)
    stride: PositiveInt = 10
    ids: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "{" in self.identifiers or "}" in self.identifiers:
            raise ValueError("braces cannot be identifiers")
        if len(set(self.identifiers)) != len(self.identifiers) or self.window > len(self.identifiers):
            raise ValueError("a window needs as many different identifiers as it has places")
        if self.stride >= self.window:
            raise ValueError("the stride must be smaller than the window, or nothing could rise from one window to the next")
        return self


class Pairwise(Part):
    """The model says which of two passages is better; a passage's score is its mean chance to win (arXiv:2306.17563)."""

    kind: Literal["pairwise"] = "pairwise"
    tokens: tuple[str, str] = ("A", "B")
    ids: dict[str, int] = Field(default_factory=dict)


Head = Annotated[TokenLogits | Classification | QueryLikelihood | Listwise | Pairwise, Field(discriminator="kind")]


def read_tokens(head: TokenLogits | Listwise | Pairwise) -> list[str]:
    """The tokens whose logits are read, in the order of the graph's scores."""
    return list(head.identifiers if isinstance(head, Listwise) else head.tokens)
