"""A map that the user's judgements gave goes with the scores it was fitted on, and with nothing else."""

import json
from pathlib import Path

from search.factory import build_reranker
from search.models import locate
from search.settings import Settings

BEFORE = "1a40a31e93d8825f"  # the bundled reranker's fingerprint when its share was another


def reranked_by(data_dir: Path, **maps: float) -> tuple[float | None, float]:
    """Scale and bias of the bundled reranker where files of these names hold maps of such a scale."""
    for fingerprint, scale in maps.items():
        kept = data_dir / "calibrations" / f"minilm-reranker-{fingerprint.lstrip('_')}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"scale": scale, "bias": 1.0, "calibrated_on": "own judgements"}))
    reranker = build_reranker(Settings(data_dir=data_dir))
    assert reranker is not None
    return reranker.recipe.scale, reranker.recipe.bias


def test_a_map_that_was_kept_before_the_share_changed_still_counts(tmp_path: Path) -> None:
    folder = locate("minilm-reranker")
    assert folder is not None
    as_shipped = reranked_by(tmp_path / "none")
    assert reranked_by(tmp_path / "before", **{f"_{BEFORE}": 7.0}) == (7.0, 1.0)
    assert reranked_by(tmp_path / "both", **{f"_{BEFORE}": 7.0, f"_{folder.fingerprint}": 9.0}) == (9.0, 1.0)
    assert reranked_by(tmp_path / "another", _0123456789abcdef=7.0) == as_shipped
