#!/usr/bin/env python3
"""Every metric that a program shows has its row in docs/OPERATIONS.md, and every row is shown by one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("*/edge/metrics.c"), *ROOT.glob("protocol/http/*.c")]


def shown():
    text = "".join(source.read_text() for source in SOURCES)
    return set(re.findall(r'"((?:mayfly|process)_[a-z0-9_]+)"', text))


def told():
    text = (ROOT / "docs/OPERATIONS.md").read_text()
    return set(re.findall(r"^\| `((?:mayfly|process)_[a-z0-9_]+)[`{]", text, re.M))


def main():
    have, table = shown(), told()
    wrong = [f"{name}: is shown and has no row in docs/OPERATIONS.md" for name in sorted(have - table)]
    wrong += [f"{name}: has a row in docs/OPERATIONS.md and is shown by nobody" for name in sorted(table - have)]
    print("\n".join(wrong) or f"{len(have)} metrics in {len(SOURCES)} files, each with its row")
    return 1 if wrong or not have else 0


if __name__ == "__main__":
    sys.exit(main())
