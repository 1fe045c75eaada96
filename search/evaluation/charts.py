"""What does an evaluation look like? Quality against time, gains and losses by query, and what a score is worth, as figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from search.documents import counted
from search.evaluation.calibration import Reliability
from search.evaluation.runs import Answers
from search.evaluation.verdict import Evaluation
from search.system.caches import importing_matplotlib

with importing_matplotlib():
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"
_DARK, _LIGHT = "#0b5394", "#e69138"  # they differ in grey, too
_STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "text.parse_math": False,  # names are of folders, and a dollar in one is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "search",  # the same figures give the same file
}


@dataclass(frozen=True)
class Chart:
    """A figure with the words that stand for it where it is not seen."""

    name: str
    title: str
    words: str
    figure: Figure

    def svg(self) -> bytes:
        """As a vector graphic."""
        image = BytesIO()
        with _styled():
            self.figure.savefig(image, format="svg", metadata={"Date": None}, bbox_inches="tight")
        return image.getvalue()

    def write_png(self, folder: Path) -> None:
        """As FOLDER/NAME.png, at 200 dots an inch."""
        with _styled():
            self.figure.savefig(folder / f"{self.name}.png", dpi=200, bbox_inches="tight", metadata={"Software": None})


def quality(evaluation: Evaluation) -> Chart:
    """The first measure against the median time of a query: retrieval alone, and each configuration."""
    measure = evaluation.names[0]
    points = {
        answers.name: (evaluation.milliseconds(answers)["total"]["p50"], evaluation.means[answers.name][measure])
        for answers in evaluation.answers
    }
    lines: dict[int, list[Answers]] = {}
    for answers in evaluation.answers[1:]:
        lines.setdefault(answers.line, []).append(answers)
    with _axes() as (figure, axes):
        start = points["retrieval"]
        axes.axhline(start[1], color="#666666", linestyle=":", linewidth=1)
        for number, members in lines.items():
            line = sorted(members, key=lambda answers: answers.depth)
            reranker = members[0].reranker or "not reranked"
            label = f" {members[0].name}: {reranker}, {members[0].ranking}"  # what begins with _ would be left out
            xs, ys = zip(start, *(points[answers.name] for answers in line), strict=True)
            intervals = [evaluation.gains[answers.name] for answers in line]
            below = [max(0.0, gain.difference - gain.low) for gain in intervals]  # rounding may leave less than nothing
            above = [max(0.0, gain.high - gain.difference) for gain in intervals]
            axes.errorbar(
                xs,
                ys,
                yerr=([0, *below], [0, *above]),
                color=(_DARK, _LIGHT)[number % 2],
                marker=_MARKERS[number % len(_MARKERS)],
                linestyle=("-", "--", "-.")[number % 3],
                elinewidth=0.8,
                capsize=3,
                label=label,
            )
            for answers in line:
                _label(axes, str(answers.depth or ""), *points[answers.name])
        axes.plot(*start, color="black", marker="o", linestyle="none", label="retrieval alone")
        axes.set_xlabel("milliseconds a query, median")
        axes.set_ylabel(measure)
        axes.margins(0.12)
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    descriptions = [f"{name}: {measure} {reached:.4f} in {milliseconds:.0f} ms" for name, (milliseconds, reached) in points.items()]
    words = "; ".join(descriptions) + ". Numbers at the points are depths; bars are 95 % intervals of the gain over retrieval."
    return Chart("quality", "Quality against time", words, figure)


def gains(evaluation: Evaluation, answers: Answers) -> Chart:
    """What every query gains or loses by reranking, largest gain first."""
    differences = sorted(evaluation.values(answers.name) - evaluation.values("retrieval"), reverse=True)
    better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    with _axes() as (figure, axes):
        colours = [_DARK if difference > 0 else _LIGHT for difference in differences]
        axes.bar(range(1, len(differences) + 1), differences, width=1.0, color=colours)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xlabel("queries, largest gain first")
        axes.set_ylabel(f"difference in {evaluation.names[0]}")
    alike = len(differences) - better - worse
    same = counted(alike, "stays as it was", "stay as they were")
    changes = f"{counted(better, 'gains', 'gain')}, {counted(worse, 'loses', 'lose')} and {same}"
    words = f"Of {counted(len(differences), 'query', 'queries')} {changes}."
    return Chart("gains", "Gains and losses by query", words, figure)


def reliability_diagram(measured: Reliability) -> Chart:
    """Of the passages with a given probability, how many are relevant."""
    with _axes() as (figure, axes):
        axes.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1, label="as it should be")
        axes.plot(
            [b.probability for b in measured.bins], [b.relevant for b in measured.bins], color=_DARK, marker="o", label="measured"
        )
        for bin_ in measured.bins:
            _label(axes, f"{bin_.pairs:,}", bin_.probability, bin_.relevant)
        axes.set_xlabel("probability of being relevant, as the reranker gives it")
        axes.set_ylabel("share that is relevant")
        axes.margins(0.08)
        axes.legend(frameon=False, fontsize=9)
    words = (
        f"Over {counted(measured.pairs, 'passage')}, of which {measured.base_rate:.1%} are judged relevant: "
        f"expected calibration error {measured.error:.3f}, Brier skill {measured.skill:.2f}. Numbers at the points count passages; "
        "what nobody judged counts as not relevant."
    )
    return Chart("reliability", "What a probability is worth", words, figure)


def _label(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), textcoords="offset points", xytext=(5, 5), fontsize=10)


@contextmanager
def _styled() -> Iterator[None]:
    """Over matplotlib's own defaults: a matplotlibrc, which it also takes from the working folder, has no say."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


@contextmanager
def _axes() -> Iterator[tuple[Figure, Axes]]:
    with _styled():
        figure = Figure(figsize=(5.4, 3.6))
        yield figure, figure.subplots()
