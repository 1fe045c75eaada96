"""What every kind of reranking by a local language model shares: the folder, its recipe, its tokenizer and its graph."""

from tokenizers import Tokenizer

from search.errors import InvalidSettings, ModelIncomplete, ModelNotFound
from search.inference.decoder import Decoder
from search.inference.prompt import Prompt
from search.inference.runtime import loading
from search.inference.tokens import TextTokenizer
from search.models import ModelFolder, locate
from search.reranking.heads import Classification, Head, QueryLikelihood, read_tokens
from search.reranking.recipe import Recipe
from search.settings import CudaSettings, Device


class LanguageModel:
    """A model folder that `search export` wrote, loaded.

    Attributes:
        name: of the folder.
        recipe: prompt and head of the model …
        exported: … and the same as it was exported, without the instruction of the settings.
        head: what is read from it.
        decoder: its graph.
        device: where it runs.
    """

    def __init__(
        self,
        folder: str,
        *,
        device: Device = "auto",
        threads: int | None = None,
        cuda: CudaSettings | None = None,
        batch_tokens: int | None = None,
        weight: float | None = None,
        instruction: str | None = None,
    ) -> None:
        """Load the model. All choices are those of CausalSettings and Settings; weight and instruction go before the recipe's.

        Raises:
            ModelError: one of its kinds, saying which file, name or device is at fault.
            InvalidSettings: an instruction for a model that takes none.
        """
        located = locate(folder)
        if located is None:
            raise ModelNotFound(f"{folder} is no folder with a model; write one with `search export MODEL {folder}`")
        recipe, head, max_tokens = _recipe(located)
        if instruction is not None and recipe.query_with_instruction is None:
            raise InvalidSettings(f"the recipe of {located.name} has no place for an instruction; leave it out")
        with loading(located.name):
            self._tokenizer = TextTokenizer(Tokenizer.from_file(str(located.path / "tokenizer.json")))
        self.exported = recipe
        self.recipe = recipe if weight is None else recipe.weighted(weight)
        if instruction is not None:
            self.recipe = self.recipe.model_copy(update={"instruction": self._tokenizer.plain(instruction)})
        self.name = located.name
        self.head = head
        self._max_tokens = max_tokens
        self._check_tokens()
        self.decoder = Decoder(
            located,
            activations=recipe.activations or "fp32",
            max_tokens=max_tokens,
            device=device,
            threads=threads,
            cuda=cuda,
            batch_tokens=batch_tokens,
        )
        self.device = self.decoder.device
        width = 1 if isinstance(head, QueryLikelihood | Classification) else len(read_tokens(head))
        self.decoder.check_head("log_probabilities" if isinstance(head, QueryLikelihood) else "scores", width)

    def _check_tokens(self) -> None:
        """A wrong id gives plausible scores, so the recipe's are compared with the tokenizer's."""
        if isinstance(self.head, Classification | QueryLikelihood):
            return
        sample = self.recipe.sample()
        for token in read_tokens(self.head):
            known, number = self.head.ids.get(token), self._tokenizer.next_token(sample, token)
            if known != number:
                message = (
                    f"the recipe of {self.name} reads the token {token!r:.100} as {known}, its tokenizer as {number}: export again"
                )
                raise ModelIncomplete(message)

    def prompt(self, template: str) -> Prompt:
        """A template for this model."""
        return Prompt(template, self._tokenizer, max_tokens=self._max_tokens, special_tokens=self.recipe.special_tokens)

    def strip(self, text: str) -> str:
        """The text as the recipe wants it."""
        return text.strip() if self.recipe.strip else text


def _recipe(folder: ModelFolder) -> tuple[Recipe, Head, int]:
    """The recipe of a folder, its head, and the longest prompt; ModelIncomplete if it is not a language model's."""
    recipe = Recipe.read(folder.recipe, f"{folder.path / 'recipe.json'}")
    if recipe.head is None or recipe.max_tokens is None:
        message = (
            f"{folder.path} was not exported as a language model; for a cross-encoder set the reranker's kind to cross-encoder"
        )
        raise ModelIncomplete(message)
    return recipe, recipe.head, recipe.max_tokens
