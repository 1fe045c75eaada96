"""Models: the commands that list them, and write a checkpoint as one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.options import AsJson, load_settings, print_json, usage
from search.cli.paths import path
from search.models import LOCAL, manifest
from search.reranking.recipe import names
from search.system.terminal import show

_RECIPES = f"Prompt and head of the model: {', '.join(names())}, or a JSON file."


def export(
    model: Annotated[str, typer.Argument(help="A folder with a checkpoint, or a name on the model hub.")],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not exist.", parser=path)],
    weights: Annotated[str, typer.Option(help="fp32, fp16, bf16, int8 or int4.")] = "fp32",
    activations: Annotated[
        str | None, typer.Option(help="What int8 and int4 calculate in: fp16 or bf16 for CUDA.", show_default="fp32")
    ] = None,
    block: Annotated[int | None, typer.Option(help="Weights that share a scale.", show_default="64 for int8, 32 for int4")] = None,
    recipe: Annotated[str | None, typer.Option(help=_RECIPES, show_default="the one published for it")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest prompt.", show_default="the recipe's")] = None,
    golden: Annotated[
        Path | None, typer.Option(help="JSON lines: query, document, score, source.", parser=path, show_default="the recipe's")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a model on the hub.", show_default=False)] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint as an ONNX model for reranking: zerank, Qwen3-Reranker, any Qwen, Llama, Mistral or BERT cross-encoder."""
    from search.cli.progress import ProgressReport
    from search.export.model_folder import export as run
    from search.export.precision import precision

    with usage():
        chosen = precision(weights, activations, block)
    with ProgressReport("exporting", "MB") as report:
        done = run(
            model,
            out,
            precision=chosen,
            recipe=recipe,
            max_tokens=max_tokens,
            golden=golden,
            revision=revision,
            cache=load_settings(None, None).model_cache,
            on_progress=lambda read, total: report.update(read // 1_000_000, total=total // 1_000_000),
        )
    if as_json:
        print_json(done.to_dict())
        return
    show(
        f"{done.folder}: {done.architecture} in {done.weights}, {done.megabytes:,.0f} MB, recipe {done.recipe}, "
        f"prompts of up to {done.max_tokens:,} tokens, in {done.seconds:.0f} s"
    )
    show(
        f"runs on {' and '.join(done.devices)}"
        + ("; for cuda, --weights fp16 or bf16, or --activations" if done.devices == ("cpu",) else "")
    )
    if not done.golden:
        show("unverified: no golden scores came with it; see --golden")
    if done.note:
        show(f"note: {done.note}")


def models(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also the models that FastEmbed downloads by name.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the bundled models; with --all also those that FastEmbed downloads by name. Settings can name either."""
    rows = list_models(named=every)
    if as_json:
        print_json({"models": rows})
        return
    for row in rows:
        origin = "bundled" if row["bundled"] else "download"
        show(f"{row['kind']:12} {row['name']:60} {row['megabytes']:7.0f} MB  {origin:8}  {row['licence']}")


def list_models(*, named: bool) -> list[dict[str, Any]]:
    """The bundled models and, if `named`, also those that FastEmbed downloads by name."""
    rows = [
        {
            "name": name,
            "kind": entry["kind"],
            "bundled": True,
            "megabytes": sum(file["bytes"] for file in entry["files"].values()) / 1e6,
            "licence": entry["licence"],
        }
        for name, entry in manifest().items()
    ]
    if not named:
        return rows
    from search.inference.fastembed import Embedders, Rerankers, SparseModels

    served = [(kinds.kind, row) for kinds in (Embedders, SparseModels, Rerankers) for row in kinds.list_supported_models()]
    return rows + [
        {"name": row["model"], "kind": kind, "bundled": False, "megabytes": row["size_in_GB"] * 1000, "licence": row["license"]}
        for kind, row in served
        if not row["model"].startswith(LOCAL)
    ]
