"""A recipe is read as somebody else's file: plain slots, finite numbers, and nothing of a size that no recipe needs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.errors import ModelError, ModelIncomplete, ModelNotFound, UnsupportedModel
from search.export.checkpoint import fetch
from search.models import locate
from search.reranking.recipe import Recipe, find, names

CLASSIFIER: dict[str, Any] = {"head": {"kind": "classification"}, "template": "{query} {document}"}
GOLDEN: dict[str, Any] = {"query": "a", "document": "b", "score": 1.0, "source": "somebody"}


def refused(recipe: dict[str, Any], words: str) -> None:
    started = time.monotonic()
    with pytest.raises(ModelIncomplete, match=words) as caught:
        Recipe.read(recipe, "recipe.json")
    assert time.monotonic() - started < 10
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize(
    "template",
    [
        *("{query!r} {document}", "{query:>3000000000} {document}", "{query.__class__} {document}", "{query[0]} {document}"),
        *("{query} {document} {}", "{query} {document} {0}", "{query} {document} {query:{document}}", "{query} {document", "}"),
        *("{ query} {document}", "{query} {document!s}", "{query:} {document}"),
    ],
)
def test_slots_are_plain(template: str) -> None:
    refused({**CLASSIFIER, "template": template}, "template|slot")
    item = template.replace("query", "identifier")
    refused({"head": {"kind": "listwise", "item": item}, "template": "{query}{passages}"}, "item|slot")
    wrapped = template.replace("document", "instruction")
    refused({**CLASSIFIER, "query_with_instruction": wrapped}, "query_with_instruction|slot")


def test_braces_that_stand_for_themselves() -> None:
    """Doubled ones are text, even around what would be a slot; an instruction's own are text, too."""
    template = '{{"query": "{query}", "{{query}}": {document}}}'
    recipe = Recipe(**{**CLASSIFIER, "template": template}, query_with_instruction="<{instruction}> {query}", instruction="{query}")
    assert recipe.sample() == '{"query": "<{query}> word", "{query}": word}'
    assert Recipe(**{**CLASSIFIER, "template": "{{document}} {query} {document}"}).begins_with_query
    listed = Recipe(
        head={"kind": "listwise", "item": "[{identifier}] {document} {{identifier}}\n"}, template="{{passages}} {passages}{query}"
    )
    assert listed.prompts()[1] == "{{passages}} [A] {p0} {{identifier}}\n[B] {p1} {{identifier}}\n{query}"


@pytest.mark.parametrize("name", names())
def test_the_recipes_of_the_package_are_plain(name: str) -> None:
    recipe = find(name)
    assert Recipe.read(json.loads(json.dumps(recipe.to_dict())), name) == recipe


@pytest.mark.parametrize(
    "changes",
    [
        *({"score": score} for score in ("NaN", "Infinity", "-Infinity", "1e999")),
        *({"tolerance": tolerance} for tolerance in ("1e300", "Infinity", "NaN", "2.5", "0", "-1")),
        *({"probability": chance} for chance in ("NaN", "1.5", "-0.1")),
    ],
    ids=str,
)
def test_golden_scores_verify_something(changes: dict[str, str], tmp_path: Path) -> None:
    """A score that is no number, or a tolerance that passes all, would call any model verified."""
    pairs = {**{key: json.dumps(value) for key, value in GOLDEN.items()}, **changes}
    text = ", ".join(f'"{key}": {value}' for key, value in pairs.items())
    (tmp_path / "recipe.json").write_text(f'{{"golden": [{{{text}}}]}}')
    with pytest.raises(ModelIncomplete, match="golden"):
        find(str(tmp_path / "recipe.json"))


@pytest.mark.parametrize(
    "recipe",
    [
        {**CLASSIFIER, "template": "{query} {document}" + "x" * 1_000_000},
        {"golden": [GOLDEN] * 5_000},
        {"golden": [{**GOLDEN, "document": "word " * 1_000_000}]},
        {"max_tokens": 10**12},
        {"scale": float("inf")},
        {"points": [[-1e308, 0.1], [1e308, 0.9]]},
        {**CLASSIFIER, "head": {"kind": "token_logits", "tokens": {"Yes": float("nan")}}},
        {**CLASSIFIER, "head": {"kind": "token_logits", "tokens": {"Yes": 0.0, "No": 0.0}}},
        {**CLASSIFIER, "head": {"kind": "token_logits", "tokens": {str(n): 1.0 for n in range(10_000)}}},
        {
            "head": {"kind": "listwise", "item": "{identifier}{document}", "identifiers": "".join(map(chr, range(256, 20_000)))},
            "template": "{query}{passages}",
        },
        {"head": {"kind": "listwise", "item": "{identifier}{document}", "window": 10**9}, "template": "{query}{passages}"},
        {"x" * 1_000_000: 1},
        {f"unknown{n}": 1 for n in range(5_000)},
        {"column": 10**9},
    ],
    ids=range(14),
)
def test_sizes_that_no_recipe_needs(recipe: dict[str, Any]) -> None:
    refused(recipe, "cannot be used")


@pytest.mark.parametrize(
    "content",
    [
        b'{"head": ' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"note": "\\ud800"}',
        b'{"template": "{query} \\ud83d {document}", "head": {"kind": "classification"}}',
        b"\xff\xfe",
        b"",
        b"[]",
        b"null",
        b'{"weight": 1' + b"0" * 5_000 + b"}",
        b'"' + b"x" * (20 << 20) + b'"',
    ],
    ids=range(10),
)
def test_files_that_hold_no_recipe(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(content)
    with pytest.raises(ModelIncomplete, match=r"recipe\.json"):
        find(str(tmp_path / "recipe.json"))


@pytest.mark.parametrize("name", ["n" * 300, "a/" * 3_000, "a\0b", "~nobody-of-this-name/model", "\udcff"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="no recipe is called"):
        find(name)
    with pytest.raises(ModelNotFound, match="neither a folder"):
        fetch(name, None, tmp_path)
    try:
        assert locate(name) is None
    except ModelError as error:
        assert "is not a folder" in str(error)  # noqa: PT017  # either answer is right


def test_pipes_in_the_place_of_recipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.json")
    script = "import sys; from search.reranking.recipe import find; find(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "recipe.json")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ModelIncomplete" in done.stderr
    assert "no regular file" in done.stderr
