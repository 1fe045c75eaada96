"""Does anything that is pinned here have a known vulnerability? Asks pip-audit, and hands these options on.

Every pin is asked about, also those for other platforms and other Pythons.

Exits with 0: all are known to who was asked, and none has any; 1: some have, which are listed; 3: of some nothing could be learned,
which is no "none". (OSV answers alike for packages without vulnerabilities and for those it has never heard of.)
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_UNKNOWN = 3
_SHOWN = 10


def pins(requirements: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Names and versions that a file pins, and lines that pin nothing."""
    pinned: dict[tuple[str, str], None] = {}
    loose: list[str] = []
    for line in requirements.read_text().replace("\\\n", " ").splitlines():
        words = line.partition(" #")[0].strip()
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;,*]+)(?=\s|;|$)", words):
            pinned[match[1], match[2].partition("+")[0]] = None  # builds of a version are known by the version
        elif words and not words.startswith("#"):
            loose.append(words)
    return list(pinned), loose


def audit(pinned: list[tuple[str, str]], options: list[str]) -> list[dict[str, Any]]:
    """What is known of each package; nothing where nobody could be asked."""
    answers: list[dict[str, Any]] = []
    while pinned:
        now = dict(pinned)  # one version of each: pip-audit takes no two in one file
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:  # without markers, by which it would leave pins out
            file.write("".join(f"{name}=={version}\n" for name, version in now.items()))
            file.flush()
            command = [str(Path(sys.executable).parent / "pip-audit"), "--disable-pip", "--no-deps", "--progress-spinner", "off"]
            command += ["--format", "json", "--requirement", file.name, *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
        try:
            answers += json.loads(done.stdout)["dependencies"]
        except ValueError:
            print((done.stderr.strip().splitlines() or ["no answer"])[-1], file=sys.stderr)
        pinned = [pin for pin in pinned if now[pin[0]] != pin[1]]
    return answers


def parse() -> list[str]:
    """The command line, as pip-audit takes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-s", "--vulnerability-service", choices=("osv", "pypi", "esms"), help="who is asked; else the registry")
    parser.add_argument("--osv-url", metavar="URL", help="where OSV is asked")
    parser.add_argument("--cache-dir", metavar="FOLDER", help="where answers are kept")
    parser.add_argument("--timeout", metavar="SECONDS", type=int, help="how long an answer may take")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def main() -> int:
    """Audit every file; see above for the exit status."""
    options = parse()
    vulnerable, unknown = 0, 0
    files = sorted((ROOT / "requirements").glob("*.txt"))
    for requirements in files:
        pinned, loose = pins(requirements)
        known = [one for one in audit(pinned, options) if "skip_reason" not in one]
        names = {(_normal(one["name"]), one["version"]) for one in known}
        missing = [f"{name} {version}" for name, version in pinned if (_normal(name), version) not in names] + loose
        bad = [(one, flaw) for one in known for flaw in one["vulns"]]
        told = f"; {len(bad)} vulnerabilities" if known else ""
        print(f"{requirements.name}: {len(known)} of {len(pinned)} packages are known to who was asked{told}")
        for one, flaw in bad:
            fixed = f"fixed in {', '.join(flaw['fix_versions'])}" if flaw["fix_versions"] else "not fixed yet"
            print(f"  {one['name']} {one['version']}: {flaw['id']}, {fixed}")
        if missing or not pinned:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            print(f"  NOT AUDITED: {', '.join(missing[:_SHOWN]) or 'nothing is pinned'}{more}")
        vulnerable += len(bad)
        unknown += len(missing) or not pinned
    return 1 if vulnerable else _UNKNOWN if unknown or not files else 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
