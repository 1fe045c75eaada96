"""Does anything that is pinned here have a known vulnerability? Asks pip-audit; its options may follow.

Exits with 0: none; 1: some, which are listed; 3: of a whole file nothing could be learned.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_UNKNOWN = 3


def audit(requirements: Path, options: list[str]) -> list[dict[str, Any]]:
    """What is known of each package of a file; nothing where nobody could be asked."""
    command = [str(Path(sys.executable).parent / "pip-audit"), "--disable-pip", "--no-deps", "--progress-spinner", "off"]
    command += ["--format", "json", "--requirement", str(requirements), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["no answer"]
        print(f"{requirements.name}: {lines[-1]}", file=sys.stderr)
        return []
    return found


def main() -> int:
    """Audit every file; see above for the exit status."""
    vulnerable, unknown = 0, 0
    for requirements in sorted((ROOT / "requirements").glob("*.txt")):
        found = audit(requirements, sys.argv[1:])
        known = [one for one in found if "skip_reason" not in one]
        bad = [(one, flaw) for one in known for flaw in one["vulns"]]
        print(f"{requirements.name}: {len(known)} of {len(found)} packages are known to who was asked; {len(bad)} vulnerabilities")
        for one, flaw in bad:
            fixed = f"fixed in {', '.join(flaw['fix_versions'])}" if flaw["fix_versions"] else "not fixed yet"
            print(f"  {one['name']} {one['version']}: {flaw['id']}, {fixed}")
        vulnerable += len(bad)
        unknown += not known
    return 1 if vulnerable else _UNKNOWN if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
