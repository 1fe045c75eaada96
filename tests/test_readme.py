"""What the documents say is executed: code blocks run, commands exist, figures are those on record."""

import ast
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from chatting import CitingStandIn
from checkpoints import CONFIGS, write_checkpoint
from commands import search
from judged import CORPUS, lines, write
from serving import serving
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from search.cli.evaluate import calibrate, evaluate
from search.cli.models import export
from search.cli.query import explain, query
from search.documents import Document
from search.reranking.recipe import names
from search.settings import CausalSettings, ServerSettings, Settings

ROOT = Path(__file__).parents[1]
README, USAGE, FIGURES = ((ROOT / name).read_text() for name in ("README.md", "docs/usage.md", "docs/benchmarks.md"))


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_python_blocks_run(tmp_path: Path) -> None:
    (short,), (whole, _) = blocks("python"), blocks("python", USAGE)
    for block, beginning in ((short, "full (1, 'cats', "), (whole, "1 cats ")):
        (tmp_path / beginning[:4]).mkdir()
        command = [sys.executable, "-c", block]
        shown = subprocess.run(command, cwd=tmp_path / beginning[:4], capture_output=True, text=True, check=True).stdout
        assert shown.startswith(beginning)
    assert "\nfull " in shown


def test_an_answer_from_a_context_is_cited(tmp_path: Path) -> None:
    """As the page has it, but for the port of the endpoint: in Python, and from a shell."""
    asking = blocks("python", USAGE)[1]
    piped = next(block for block in blocks("text", USAGE) if "curl -s" in block)
    endpoint = "http://127.0.0.1:8080/v1"
    with CitingStandIn() as model:
        command = [sys.executable, "-c", asking.replace(endpoint, model.url)]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert shown.splitlines() == [
            "Cats sleep most of the day. [1].",
            "Birds sing at dawn. [2].",
            "[1] is cats, characters 0 to 27",
            "[2] is birds, characters 0 to 19",
            "cite nothing: []",
        ]
        if shutil.which("curl") is None:
            pytest.skip("no curl here; install it to try what the page says about pipes")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SEARCH_DATA_DIR": str(tmp_path / "data"),
        }
        line = piped.replace(endpoint, model.url)
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    reply = json.loads((tmp_path / "reply.json").read_text())["choices"][0]["message"]["content"]
    assert reply.splitlines() == ["Cats sleep most of the day. [1].", "Birds sing at dawn. [2]."]
    assert done.stdout == "[1] cats, characters 0 to 27\n[2] birds, characters 0 to 19\n"
    assert done.stderr.endswith("\n2 of 2 sources are cited, by 2 numbers\n")


def test_examples_in_docstrings_run(tmp_path: Path) -> None:
    """As they are written, but for the port of the service: those that import this package, which are indented."""
    examples: dict[str, str] = {}
    for file in sorted((ROOT / "search").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                said = ast.get_docstring(node) or ""
                assert not re.search(r"^(from|import) search", said, re.MULTILINE), f"{file}: indent the example"
                for block in re.findall(r"(?:^(?: {4}.*)?\n)*^ {4}.*$", said, re.MULTILINE):
                    if "import" in block:
                        examples[file.relative_to(ROOT).as_posix()] = inspect.cleandoc(block)
    assert sorted(examples) == ["search/__init__.py", "search/client.py"]
    with serving(Settings(data_dir=tmp_path / "one"), lambda searcher: searcher.ingest([Document("1", "Cats sleep.")])) as served:
        for example in examples.values():
            code = example.replace("http://127.0.0.1:8000", served.url) + "\nprint(result.hits[0].text)"
            done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout in {"Cats sleep.\n", "…\n"}


def test_shell_blocks_run(tmp_path: Path) -> None:
    """Every line that begins with our command runs as it stands, in order, where the named folders are."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "cats.txt").write_text("Cats sleep on mats.")
    (tmp_path / "notes" / "old.md").write_text("Dogs once slept on mats, too.")
    judged(tmp_path / "datasets" / "scifact")
    zerank(tmp_path / "zerank-1-small")
    lines = [line for text in (README, USAGE) for block in blocks("sh", text) for line in block.splitlines() if "search " in line]
    commands = list(dict.fromkeys(line.partition(" #")[0].strip() for line in lines if "pip" not in line))
    assert len(commands) == 19
    run(commands, tmp_path)


def run(lines: list[str], folder: Path) -> None:
    """As a shell runs them; what needs no shell runs in this process."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "SEARCH_DATA_DIR": str(folder)}
    for line in lines:
        words = shlex.split(line)
        if words[0] == "search" and not set(line) & set("|&;<>$`*?#"):
            assert search(*words[1:], SEARCH_DATA_DIR=str(folder)).stdout, line
            continue
        done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout


def judged(folder: Path) -> None:
    """A data set that is large enough for each command."""
    queries = [{"_id": f"q{number}", "text": "cats " * number} for number in range(1, 7)]
    write(folder, CORPUS, queries, "".join(f"q{number}\tcat\t1\n" for number in range(1, 7)))


def zerank(folder: Path) -> None:
    """A checkpoint of zerank's kind, in which the token it reads has the number it was published with."""
    write_checkpoint(folder, {**CONFIGS["qwen3"], "vocab_size": 9600})
    words = [f"w{number}" for number in range(9500)]
    words[9454] = "Yes"
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="w0"))  # noqa: S106 -- no password
    made.pre_tokenizer = Whitespace()
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    made.save(str(folder / "tokenizer.json"))


def test_the_page_on_language_models_is_true(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "language-models.md").read_text()
    options = {f"--{parameter.replace('_', '-')}" for parameter in inspect.signature(export).parameters}
    assert {flag for block in blocks("sh", page) for flag in re.findall(r" (--[a-z-]+)", block)} <= options
    for name in names():
        assert f"`{name}`" in page
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search.toml").write_text(blocks("toml", page)[0])
    settings = Settings()
    assert isinstance(settings.reranker, CausalSettings)
    assert (settings.cuda.attention, settings.cuda.memory_mib) == ("flash", 20000)
    figures = json.loads((ROOT / "benchmarks" / "results" / "export.json").read_text())["figures"]
    assert max(figures[name]["peak resident memory, GB"] for name in ("fp16", "int8", "int4")) == pytest.approx(0.33, abs=0.005)
    parity = json.loads((ROOT / "benchmarks" / "results" / "parity.json").read_text())["figures"]
    assert (
        max(entry["largest difference"] for entry in parity.values() if isinstance(entry, dict) and "largest difference" in entry)
        <= 8e-5
    )


def test_the_page_on_evaluation_is_true(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "cats.txt").write_text("Cats sleep on mats.")
    lines(tmp_path / "labels.jsonl", [json.loads(re.findall(r'`({"query": "w[^`]*)`', page)[0])])
    commands = [line for block in blocks("sh", page) for line in block.splitlines()]
    assert len(commands) == 8
    judged(tmp_path / "datasets" / "scifact")
    run(commands, tmp_path)
    assert (tmp_path / "report" / "report.html").is_file()
    parameters = [name for command in (evaluate, explain, calibrate, query) for name in inspect.signature(command).parameters]
    options = {f"--{name.replace('_', '-')}" for name in parameters} | {"--with", "--json"}
    assert set(re.findall(r"`(--[a-z-]+)", page)) <= options


def test_scripts_and_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = README, USAGE, (ROOT / "CONTRIBUTING.md").read_text()
    for line in [line for text in texts for block in blocks("sh", text) for line in block.splitlines()]:
        words = shlex.split(line, comments=True)
        if words and words[0].startswith("scripts/"):
            assert os.access(ROOT / words[0], os.X_OK), line
        for extras in re.findall(r"\.\[([a-z,]+)\]", line):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_settings_block_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own" / "two-stage-search" / "search.toml"  # a remote server may not be named by just any folder
    own.parent.mkdir(parents=True)
    own.write_text("\n".join(blocks("toml", USAGE)))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    settings = Settings()
    assert isinstance(settings.index, ServerSettings)
    assert settings.embedder.model == "BAAI/bge-small-en-v1.5"
    assert settings.reranker.kind == "cross-encoder"
    assert (settings.context.max_tokens, settings.context.tokenizer) == (2000, Path("models/qwen3/tokenizer.json"))
    assert (settings.lexical.language, settings.lexical.fields, settings.lexical.share) == ("german", ("metadata.isbn",), 0.3)


def test_figures_are_those_on_record() -> None:
    results = ROOT / "benchmarks" / "results"
    scifact = json.loads((results / "quality.json").read_text())["figures"]["scifact"]["runs"]
    told = re.search(r"nDCG@10 · Recall@100 \| (\.\d+) · (\.\d+) ", FIGURES)
    assert told
    assert float(told[1]) == pytest.approx(scifact["retrieval"]["nDCG@10"], abs=5e-5)
    assert scifact["retrieval"]["nDCG@10"] == pytest.approx(0.6451, abs=0.004)  # as published
    assert float(told[2]) == pytest.approx(scifact["retrieval"]["Recall@100"], abs=5e-4)
    tables = subprocess.run([sys.executable, ROOT / "benchmarks" / "tables.py"], capture_output=True, text=True, check=True)
    quality, *others = tables.stdout.strip().split("\n\n")
    assert quality in README
    assert [table for table in (quality, *others) if table not in FIGURES] == []
    first = json.loads((results / "questions.json").read_text())["figures"]["answered first"]
    counts = (first["dense"], first["hybrid"], first["hybrid, reranked"])
    assert "{} are answered first by vectors, {} by\nvectors and words, and {} reranked.".format(*counts) in FIGURES
    lexical = json.loads((results / "lexical.json").read_text())["figures"]
    milliseconds = lexical["retrieving, ms, median"]
    assert f"takes {milliseconds['vectors and words']:.1f} ms\ninstead of {milliseconds['vectors']:.1f}" in FIGURES
    depth = json.loads((results / "depth.json").read_text())["figures"]
    assert f"over {depth['queries']} held-out queries" in FIGURES
    recipe = json.loads((ROOT / "search" / "models" / "minilm-reranker" / "recipe.json").read_text())
    shares = json.loads((results / "share.json").read_text())["figures"]
    assert (recipe["weight_over_hybrid"], recipe["weight"]) == (shares["hybrid"]["best share"], shares["dense"]["best share"])
    assert f"{recipe['weight_over_hybrid']:g} over\nvectors and words, {recipe['weight']:g} over vectors alone" in FIGURES
    assert f"on {sum(shares['queries'].values()):,} queries of nine" in FIGURES
    engines = json.loads((results / "engines.json").read_text())["figures"]
    for text in (README, FIGURES):
        faster = re.search(r"(\d+) \S · (\d+) \S faster", text)
        assert faster
        assert int(faster[1]) == round(engines["written, points/s"]["edge is faster by"])
        assert int(faster[2]) == round(engines["query, ms"]["edge is faster by"])
    dedupe = json.loads((results / "dedupe.json").read_text())["figures"]
    assert f"{dedupe['documents']:,} documents of {dedupe['passages']:,} passages" in FIGURES
    true = {one: found["true"] for one, found in dedupe["planted texts and near misses, by threshold"].items()}
    assert "; ".join(f"{one}: {true[one]['share']:.3f} of {true[one]['of']}" for one in true) in FIGURES
    assert f"{dedupe['pairs judged']:,} pairs were judged in\n{dedupe['seconds']:.0f} s on a machine" in FIGURES
    assert f"and {dedupe['peak memory, MB']:,} MB of memory at most" in FIGURES
    known = json.loads((results / "dedupe_pairs.json").read_text())["figures"]
    alone = known["by threshold"]["0.9"]
    assert (
        f"{alone['expected']:.4f} are expected at .9 and\n{alone['true']['share']:.3f} of {alone['true']['of']} are true" in FIGURES
    )
    recall = [f"{known['reported, by kind'][kind]['share']:.2f}"[1:] for kind in ("edit", "paraphrase")]
    assert "recall is {} of edits and {} of paraphrases".format(*recall) in FIGURES
    ingestion = json.loads((results / "ingestion.json").read_text())["figures"]
    shares = ingestion["throughput"]["share_of_embedding"], ingestion["unchanged"]["share"]
    assert "| {:.0%} of the speed · {:.1%} of the time |".format(*shares).replace("%", " %") in FIGURES
    peaks = [ingestion["memory"][documents]["peak_mb"] for documents in ("200000", "20000")]
    assert "| {:.0f} MB, {:.0f} MB |".format(*peaks) in FIGURES
    service = json.loads((results / "service.json").read_text())["figures"]
    first = service["overhead_at_depth_30"]["median_ms"], service["page"]["first_s"]
    assert "| {:.1f} ms · {:.2f} s · ".format(*first) in FIGURES
    for figure in re.findall(r"^\| [^|]+ \| ([^|]+) \|$", README, re.MULTILINE)[1:]:  # of speed
        assert figure in FIGURES


def test_figures_of_size_are_those_on_record() -> None:
    page = (ROOT / "docs" / "collections.md").read_text()
    size = json.loads((ROOT / "benchmarks" / "results" / "size.json").read_text())["figures"]
    ingested = json.loads((ROOT / "benchmarks" / "results" / "ingestion.json").read_text())["figures"]["throughput"]
    assert f"{size['points']:,} passages of up to 130 words take {size['disk, MB'] / 1000:.2f} GB of disk" in page
    assert 1.9 <= size["disk before the graph is built, MB"] / size["disk, MB"] <= 2.1
    assert f"and {size['memory of its own after 50 queries, MB']:.0f} MB of memory" in page
    assert f"candidates in {size['retrieving, ms, median']:.1f} ms" in page
    assert f"takes {size['retrieving, ms, median']:.1f} ms, on cores" in FIGURES
    assert f"two cores ingest {ingested['documents_per_s']['ingestion']:.0f} passages a second" in page


def test_the_card_of_the_bundled_reranker_has_the_shares_of_its_recipe() -> None:
    folder = ROOT / "search" / "models" / "minilm-reranker"
    recipe, card = json.loads((folder / "recipe.json").read_text()), (folder / "README.md").read_text()
    assert f"Its share is {recipe['weight']:g} over vectors alone, and {recipe['weight_over_hybrid']:g} over" in card
    assert "the recipe's mix" not in card  # that of its figures is training's


def test_figures_of_contexts_are_those_on_record() -> None:
    figures = json.loads((ROOT / "benchmarks" / "results" / "context.json").read_text())["figures"]
    kinds, gains = figures["kinds"], figures["context of 1000 over ten plain passages of 2000"]
    held = [f"{kinds[name]['holds the relevant passage']:.1%}" for name in ("context, reranked, 1000", "first 10, reranked, 2000")]
    by_vectors = f"{kinds['first 10, vectors, 2000']['holds the relevant passage']:.1%}"
    least, most = (gains["reranked, against the first 10 by reranked"][end] * 100 for end in ("low", "high"))
    text = "a context of 1,000 tokens holds the passage in {}, ten plain passages of 2,000 tokens in {}"
    told = (
        f"{text.format(*held)} (difference {least:+.1f} to {most:+.1f} points), and those that vectors alone find in {by_vectors}"
    )
    assert told.replace("%", " %") in " ".join(FIGURES.split())
    assert f"{figures['questions']:,} questions" in FIGURES
    shorter = figures["context over plain"]["reranked, 500"]
    assert f"reranked {shorter['low'] * 100:+.1f} to {shorter['high'] * 100:+.1f}), which" in FIGURES


def anchors(document: Path) -> set[str]:
    """The places of a page that links may lead to: headings, as GitHub names them, and those that are named."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings} | {
        *re.findall(r'<a id="(\d+)">', text)
    }


def test_links_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "search" / "models").glob("*/README.md")]:
        for target, place in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", document.read_text()):
            if target.startswith("https://"):
                continue
            page = document.parent / target if target else document
            assert page.exists(), f"{document.name}: {target}"
            assert not place or place in anchors(page), f"{document.name}: {target}#{place}"
            assert place or page.name != "decisions.md" or document.parent == ROOT, f"{document.name}: {target} of no number"


def test_the_picture_of_the_page_is_small() -> None:
    picture = (ROOT / "docs" / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
    assert "(docs/page.png)" in README


def test_the_picture_of_the_page_can_be_taken_anew(tmp_path: Path) -> None:
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no chromium here; install it to take the picture of the page (on Debian: apt-get install chromium)")
    with serving(Settings(data_dir=tmp_path), lambda searcher: searcher.ingest([Document("1", "Cats sleep.")])) as served:
        code = f"from pathlib import Path; import picture; picture.take({served.url!r}, 'What sleeps?', Path('page.png'))"
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_architecture_names_every_part() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    parts = {f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / "search").iterdir()}
    parts -= {"__init__.py", "__pycache__/", "py.typed"}
    assert {part for part in parts if f"`{part}`" not in text} == set()


def test_modules_that_are_named_exist() -> None:
    """As paths from the root, or by their last parts, as in `reranking/recipe.py`."""
    files = [
        path.as_posix() for base in ("search", "scripts", "tests", "benchmarks", "examples") for path in (ROOT / base).rglob("*.py")
    ]
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        named = re.findall(r"(?<![\w./-])([\w./-]+\.py)\b", document.read_text())
        assert [name for name in named if not any(file.endswith(f"/{name.lstrip('./')}") for file in files)] == [], document.name


def test_compose_file_pins_the_server_and_checks_its_health() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["qdrant"]
    assert re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "ports" not in service


def test_nothing_names_a_registry_or_a_place_on_a_machine() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = "python" + "hosted", "py" + "pi.org", "registry" + ".npm", "deb." + "debian"
    places = re.compile(r"(^|[^\w.])/(" + "|".join(["ro" + "ot", "wo" + "rk", "ho" + r"me/\w+"]) + ")/")
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.suffix in {".onnx", ".png"} or not file.is_file():
            continue
        text = file.read_text(encoding="utf-8")
        assert not any(host in text for host in hosts), name
        if file.suffix != ".json":
            assert not places.search(text), name
