"""Model folders with one thing wrong in one file, and what loading them comes to. Runs in a process of its own, within bounds."""

import functools
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search.embedding.dense import FastEmbedEmbedder
from search.errors import SearchError
from search.export.model_folder import export
from search.export.precision import Precision
from search.factory import build_reranker
from search.reranking.cross_encoder import CrossEncoder
from search.settings import Settings

SECONDS = 30.0  # for one folder, on a machine that does something else as well
MEMORY = 8 << 30  # bytes of addresses, of which ONNX Runtime takes many and uses few
_DEEPEST = 6

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 10**9, 2**31, 2**63, 10**30, -(10**30), 1.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), "", "x", "x" * 100_000, "a\0b", "\ud800", "{query!r}", "../../etc", "[MASK]", " ", "0"),
    *([], {}, [0], ["x"], {"content": "x"}, {"a": {"b": [1]}}, [[]], [None] * 1000),
]


def places(value: Any, draw: random.Random) -> tuple[Any, Any] | None:
    """A container somewhere in JSON data, and a key in it."""
    for _ in range(draw.randrange(_DEEPEST)):
        inner = [one for one in (value.values() if isinstance(value, dict) else value) if isinstance(one, dict | list) and one]
        if not inner or draw.random() < 0.2:
            break
        value = draw.choice(inner)
    if not value:
        return None
    return value, draw.choice(list(value) if isinstance(value, dict) else range(len(value)))


def spoil(file: Path, draw: random.Random) -> str:
    """Change one value of a JSON file, or some bytes of any file; in words, what was done."""
    content = file.read_bytes()
    if not content:
        return f"{file.name}: empty already"
    if file.suffix == ".json" and draw.random() < 0.8:
        data = json.loads(content)
        if (place := places(data, draw)) is None:
            data["added"] = draw.choice(VALUES)
            done = f"added {str(data['added'])[:40]!r}"
        else:
            inside, key = place
            if draw.random() < 0.15:
                done = f"removed {key!r}"
                inside.pop(key)
            else:
                new = draw.choice(VALUES)
                done = f"{key!r}: {str(inside[key])[:40]!r} to {type(new).__name__} {ascii(new)[:40]}"
                inside[key] = new
        file.write_text(json.dumps(data))
        return f"{file.name}: {done}"
    if draw.random() < 0.3:
        return replace(file, draw.choice(KINDS))
    if draw.random() < 0.3:
        at = draw.randrange(len(content))
        file.write_bytes(content[:at])
        return f"{file.name}: cut at {at}"
    # What stands at either end says what the rest is.
    at = draw.choice([draw.randrange(len(content)), draw.randrange(min(300, len(content))), -1 - draw.randrange(50)]) % len(content)
    new = bytes(draw.randrange(256) for _ in range(draw.choice([1, 2, 8])))
    file.write_bytes(content[:at] + new + content[at + len(new) :])
    return f"{file.name}: {new.hex()} at {at}"


KINDS = ("nothing", "a pipe", "a folder", "a device without an end", "empty", "deep", "a list", "half a surrogate pair")


def replace(file: Path, kind: str) -> str:
    """Put something else in a file's place."""
    file.unlink()
    contents = {"empty": "", "deep": '{"a":' * 100_000, "a list": "[]", "half a surrogate pair": '{"pad_token": "\\ud800"}'}
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    elif kind == "a device without an end":
        file.symlink_to("/dev/zero")
    elif kind in contents:
        file.write_text(contents[kind])
    return f"{file.name}: {kind}"


def use(kind: str, folder: Path) -> None:
    """Load a model and ask it something; or export a checkpoint."""
    if kind == "embedder":
        embedder = FastEmbedEmbedder(str(folder), device="cpu", threads=1, cache=folder)
        embedder.embed_passages(["A cat sat.", "", "漢字"])
    elif kind == "cross-encoder":
        CrossEncoder(str(folder), device="cpu", threads=1, cache=folder).score("cat", ["A cat sat.", "", "漢字 " * 500])
    elif kind == "language-model":
        settings = Settings(data_dir=folder, device="cpu", threads=1, reranker={"kind": "causal", "model": str(folder)})
        reranker = build_reranker(settings)
        assert reranker is not None
        reranker.score("cat", ["A cat sat.", "", "漢字 " * 500])
    else:
        recipe = folder / "asked.json"
        out = folder.with_name("exported")
        export(str(folder), out, precision=Precision(), recipe=str(recipe) if recipe.exists() else None, cache=folder)


def rounds(kind: str, source: Path, root: Path, seed: int, count: int) -> Iterator[str]:
    """What went wrong: with each file replaced by each kind of another thing, and with so many folders that are drawn."""
    names = sorted(file.relative_to(source) for file in source.rglob("*") if file.is_file())

    def drawn(number: int, folder: Path) -> str:
        draw = random.Random(f"{kind} {seed} {number}")  # noqa: S311  # a test that can be repeated
        return f"{seed} {number}: {'; '.join(spoil(folder / name, draw) for name in draw.sample(names, draw.choice([1, 1, 2])))}"

    spoilings: list[Callable[[Path], str]] = [
        functools.partial(lambda name, other, folder: replace(folder / name, other), name, other)
        for name in names
        for other in KINDS
    ]
    spoilings += [functools.partial(drawn, number) for number in range(count)]
    for spoiling in spoilings:
        folder = root / "spoilt"
        for left in (folder, root / "exported", root / "exported.unfinished"):
            shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(source, folder)
        done = spoiling(folder)
        began = time.monotonic()
        fault = outcome(functools.partial(use, kind, folder))
        if time.monotonic() - began > SECONDS:
            fault = f"took {time.monotonic() - began:.0f} s"
        if fault:
            yield f"{kind} {done}: {fault}"


def outcome(work: Callable[[], None]) -> str:
    """What is wrong with how it ended: nothing if it succeeded, or failed as it may."""
    try:
        signal.alarm(round(SECONDS))
        work()
    except SearchError as error:
        return f"a message of {len(str(error))} characters" if len(str(error)) > 5_000 else ""
    except BaseException as error:  # a panic of a library is no Exception
        last = traceback.extract_tb(error.__traceback__)
        return f"{type(error).__name__} {str(error)[:200]} at {[f'{Path(f.filename).name}:{f.lineno}' for f in last[-4:]]}"
    finally:
        signal.alarm(0)
    return ""


def hung(*_: object) -> None:
    """End what waits for a pipe."""
    raise TimeoutError


def main() -> None:
    """KIND SOURCE ROOT SEED COUNT: print each fault on a line, and the memory it took in the end."""
    kind, source, root, seed, count = sys.argv[1:]
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, hung)
    for fault in rounds(kind, Path(source), Path(root), int(seed), int(count)):
        print(fault, flush=True)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")


if __name__ == "__main__":
    main()
