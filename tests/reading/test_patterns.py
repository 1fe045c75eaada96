"""Lines of ignore files mean what git means by them, and none takes long."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.documents import Document
from search.reading import Reading
from search.reading.patterns import IgnoreRules, glob

RULES: dict[str, tuple[list[str], list[str]]] = {  # what they ignore, and what not; a name with / at its end is a folder
    "*.log": (["a.log", "x/a.log", ".log"], ["a.log.txt", "log"]),
    "/a.txt": (["a.txt"], ["x/a.txt"]),
    "x/a.txt": (["x/a.txt"], ["y/x/a.txt"]),
    "out/": (["out/", "x/out/"], ["out"]),
    "a/**/b": (["a/b", "a/x/b", "a/x/y/b"], ["b", "a/x/bb", "ab"]),
    "**/b": (["b", "a/b", "a/x/b"], ["bb"]),
    "a/**": (["a/b", "a/b/c"], ["a/", "b/a/c"]),
    "a**b": (["ab", "axxb", "x/ab"], ["a/b"]),
    "?.txt": (["a.txt"], [".txt", "ab.txt"]),
    "[a-c]x": (["ax", "cx"], ["dx", "-x"]),
    "[!a]x": (["bx"], ["ax"]),
    "[^a]x": (["bx"], ["ax"]),
    "x[!a]y": (["xby"], ["x/y", "xay"]),
    "[]x]": (["]", "x"], ["[", "]x"]),
    "[a-]": (["a", "-"], ["b"]),
    "[z-a]": (["z", "x/z"], ["a", "m", "-", "[z-a]"]),  # the range holds nothing, and git looks at its first letter before that
    "[!z-a]": (["a", "-"], ["z"]),
    "[[:digit:]x]": (["1", "x"], ["a"]),
    "[^/]": (["a"], ["x/a", "/"]),
    "x[/y]z": ([], ["x/z", "xyzz"]),
    r"[\]]": (["]"], ["\\"]),
    r"\#a": (["#a"], ["a", r"\#a"]),
    r"\!a": (["!a"], ["a"]),
    r"a\*": (["a*"], ["ab", r"a\*"]),
    "a  ": (["a"], ["a  "]),
    "a\\ ": (["a "], ["a"]),
    "a\r": (["a"], []),
    "# a": ([], ["a", "# a"]),
    "/": ([], ["a", "a/"]),
    "a//b": ([], ["a/b"]),
    "**": (["a", "a/b"], []),
    "**/x/**": (["x/a", "b/x/a/c"], ["x/", "a/b"]),
    "a.c": (["a.c"], ["abc"]),
    "(a|b)+": (["(a|b)+"], ["a"]),
    "a\nb": (["a\nb"], []),
}


@pytest.mark.parametrize("line", RULES)
def test_lines_of_ignore_files(line: str) -> None:
    rules = IgnoreRules([line])
    ignored, others = RULES[line]
    for path in [*ignored, *others]:
        assert bool(rules.verdict(path.rstrip("/"), is_folder=path.endswith("/"))) == (path in ignored), path
    assert rules.unusable == []


def test_the_last_line_that_speaks_decides() -> None:
    rules = IgnoreRules(["*.txt", "!a.txt", "x/a.txt"])
    assert [rules.verdict(path, is_folder=False) for path in ("b.txt", "a.txt", "x/a.txt", "c")] == [True, False, True, None]
    assert IgnoreRules(["x/"]).ignores("x/y/a.txt")
    assert not IgnoreRules(["x/"]).ignores("a/x")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[a", "its [ has no ]"),
        ("a[]", "its [ has no ]"),
        ("[a-", "its [ has no ]"),
        ("[[:none:]]", "there is no class [:none:]"),
        ("a\\", "it ends with a backslash"),
        ("x" * 4097, "it is longer than any path"),
    ],
)
def test_lines_that_mean_nothing(line: str, why: str) -> None:
    rules = IgnoreRules(["a", line, "b"])
    assert rules.unusable == [(line, why)]
    assert [rules.verdict(path, is_folder=False) for path in ("a", "b", line[:9])] == [True, True, None]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line", ["*a" * 20 + "b", "/" + "*a" * 1000 + "b", "**/a/" * 40 + "b", "?*" * 200 + "b", "[a]*" * 99 + "b", "[z-a]*" * 99 + "b"]
)
def test_no_line_takes_long(line: str) -> None:
    rules = IgnoreRules([line])
    started = time.process_time()
    for path in ("a" * 4000, "a/" * 2000 + "a", ("a" * 200 + "/") * 20 + "a"):
        assert rules.verdict(path, is_folder=False) is None
        assert glob(line).fullmatch(path) is None
    assert time.process_time() - started < 10


def test_a_range_that_holds_nothing_leaves_a_folder_readable(tmp_path: Path) -> None:
    for name in ("a", "m", "-", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "note.txt").write_text(f"This is {name}.")
    (tmp_path / ".gitignore").write_text("[z-a]\n")
    reading = Reading([str(tmp_path)])
    assert {item.text for item in reading if isinstance(item, Document)} == {"This is a.", "This is m.", "This is -."}
    assert (reading.left_out, reading.notes) == ([str(tmp_path / "z" / "note.txt")], [])


def test_globs() -> None:
    for pattern, matched, others in [
        ("*.md", ["a.md"], ["x/a.md", "a.txt"]),
        ("**/*.md", ["a.md", "x/a.md", "x/y/a.md"], ["a.txt"]),
        ("**", ["a", "x/a"], []),
        ("x/**/y/*", ["x/y/a", "x/b/y/a"], ["x/a"]),
        ("[ab].md", ["a.md"], ["c.md"]),
        ("[!ab].md", ["c.md"], ["a.md", "/.md"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[a", ["[a"], ["a"]),
        ("[]", ["[]"], []),
        ("[]]", ["]"], []),
        (r"a\*", [r"a\b"], ["a*"]),
        ("[z-a]", [], ["z", "a"]),
    ]:
        assert [path for path in [*matched, *others] if glob(pattern).fullmatch(path)] == matched, pattern


LETTERS = st.sampled_from("ab*?[]!^-/\\. #c")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git here to compare with")
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run([git, "init", "-q", str(folder)], check=True)
    for place in ("a", "b", "ab", "ba", "c/a", "c/ab", "c/b/a", "a.c/b", "-", "b!", "c/[", "#a", "bb/aa/ab/b"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    return folder


@pytest.mark.timeout(900)
def test_the_same_as_git(repository: Path, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    """What git ignores in a tree of files, by lines that nobody would write."""
    paths = sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if ".git" not in file.parts)
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(repository)}

    @settings(max_examples=2000 if in_full else 100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.text(LETTERS, max_size=8), max_size=3))
    def same(lines: list[str]) -> None:
        (repository / ".git" / "info" / "exclude").write_text("\n".join(lines) + "\n")
        command = ["git", "-C", str(repository), "check-ignore", "--stdin", "-z"]
        found = subprocess.run(command, input="\0".join(paths), capture_output=True, text=True, check=False, env=environment)
        assert found.returncode in {0, 1}, found.stderr
        rules = IgnoreRules(lines)
        here = {path for path in paths if _ignored(rules, path, repository)}
        assert here == set(found.stdout.split("\0")) - {""}, lines

    for line in ("[[-?]", "[b-a]", "[!b-a]", "[c/b-a]"):  # ranges that hold nothing
        same.hypothesis.inner_test([line])  # type: ignore[attr-defined]
    same()


def _ignored(rules: IgnoreRules, path: str, root: Path) -> bool:
    parts = path.split("/")
    places = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(rules.verdict(place, is_folder=(root / place).is_dir()) for place in places)
