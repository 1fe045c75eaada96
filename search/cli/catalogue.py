"""Which models can the settings name?"""

from typing import Any

from search.factory import needs_extra
from search.models import LOCAL, manifest


def list_models(*, named: bool) -> list[dict[str, Any]]:
    """The models that settings can name: the bundled ones and, if asked, those that FastEmbed downloads by name."""
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
    with needs_extra():
        from search.embedding import dense
        from search.reranking import cross_encoder

    served = [("embedder", row) for row in dense.supported_models()]
    served += [("reranker", row) for row in cross_encoder.supported_models()]
    return rows + [
        {"name": row["model"], "kind": kind, "bundled": False, "megabytes": row["size_in_GB"] * 1000, "licence": row["license"]}
        for kind, row in served
        if not row["model"].startswith(LOCAL)
    ]
