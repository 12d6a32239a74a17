#!/usr/bin/env python3
"""Every row of docs/DETECTION.md is a test of that name, and every such test is in the table."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    page = (ROOT / "docs/DETECTION.md").read_text()
    source = "".join((ROOT / f"tests/unit/test_health_{what}.c").read_text() for what in ("decisions", "peers"))
    tests = set(re.findall(r"TEST\(test_(\w+)\)", source))
    rows = set(re.findall(r"^\| `(\w+_\w+)` \|", page, re.M))
    named = set(re.findall(r"`(\w+)`", page))
    wrong = [f"docs/DETECTION.md: {row} has no test" for row in sorted(rows - tests)]
    wrong += [f"{test} is not in docs/DETECTION.md" for test in sorted(tests - named)]
    print("\n".join(wrong) or f"{len(rows)} rows, {len(tests)} tests")
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
