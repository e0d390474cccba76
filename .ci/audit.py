"""Ask an advisory service about the pinned dependencies, and say plainly what it found, or that none can be asked.

python .ci/audit.py             what `make check` does: says it and goes on, since the world changes and not the code
python .ci/audit.py --required  what `make audit` does: an advisory is a failure, and so is no service
"""

import json
import subprocess
import sys

SECONDS = 120
AUDIT = ["-m", "pip_audit", "--requirement=constraints.txt", "--no-deps", "--disable-pip", "--timeout=10"]


def main() -> int:
    required = "--required" in sys.argv
    command = [sys.executable, *AUDIT, "--format=json", "--progress-spinner=off"]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
        found = json.loads(answer.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _unanswered(f"it took longer than {SECONDS} seconds", required)
    except (ValueError, KeyError):
        return _unanswered((answer.stderr.strip().splitlines() or ["it said nothing"])[-1], required)
    known = [dependency for dependency in found if "skip_reason" not in dependency]
    if not known:
        return _unanswered("it knows none of the packages", required)
    for dependency in known:
        for advisory in dependency["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            print(f"{dependency['name']} {dependency['version']}: {advisory['id']}, fixed in {fixed}")
    n_advisories = sum(len(dependency["vulns"]) for dependency in known)
    print(f"audit: {n_advisories} advisories for {len(known)} of {len(found)} pinned packages")
    return 1 if n_advisories and required else 0


def _unanswered(why: str, required: bool) -> int:
    print(f"audit: the advisory service could not be asked ({why}); the pinned packages were NOT audited")
    return 1 if required else 0


if __name__ == "__main__":
    sys.exit(main())
