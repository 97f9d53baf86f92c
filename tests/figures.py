#!/usr/bin/env python3
"""Counts the shape of the code: python3 tests/figures.py [FOLDER], a checkout of this repository if not given.

Files and functions are those of src/ and crates/*/src, tests at the end of files and files called tests left out.
"""

import collections
import pathlib
import re
import sys
import tomllib

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
sources = []
for folder in [root / "src", *sorted((root / "crates").glob("*/src"))]:
    for path in sorted(folder.rglob("*.rs")):
        if path.name != "tests.rs" and "tests" not in path.relative_to(folder).parts:
            text = path.read_text()
            sources.append((path, re.split(r"\n#\[cfg\(test\)\]\nmod tests \{", text)[0]))


def share(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0


def functions(text):
    """The characters of each function with a body, from its name to its closing brace."""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        start = re.match(r"(\s*)(pub(\([a-z :]+\))? )?(const )?(async )?fn \w+", line)
        if not start:
            continue
        body = [line]
        if not line.rstrip().endswith("}"):
            for other in lines[place + 1 :]:
                body.append(other)
                if other.rstrip() == start[1] + "}" or other.rstrip() == start[1] + ");":
                    break
                if other.rstrip().endswith(";") and len(body) == 1:
                    break
        yield sum(len(one.strip()) for one in body)


def members():
    """The crates of the workspace, and those of it that each names."""
    named = {}
    for file in sorted((root / "crates").glob("*/Cargo.toml")):
        cargo = tomllib.loads(file.read_text())
        ours = (name for name in cargo.get("dependencies", {}) if name.startswith("payrun-"))
        named[cargo["package"]["name"]] = set(ours)
    return named


def circles(named):
    """The crates that can be reached from themselves."""
    found = set()
    for crate in named:
        seen, waiting = set(), list(named[crate])
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting.extend(named.get(other, ()))
        if crate in seen:
            found.add(crate)
    return found


lines = [text.count("\n") for _, text in sources]
sizes = [size for _, text in sources for size in functions(text)]
types = collections.Counter(
    name
    for _, text in sources
    for name in re.findall(r"^\s*(?:pub(?:\([a-z :]+\))? )?(?:struct|enum|trait|type) (\w+)", text, re.M)
)
every = [line.strip() for _, text in sources for line in text.split("\n") if line.strip()]
docs = sum(line.startswith(("///", "//!")) for line in every)
whys = sum(line.startswith("//") and not line.startswith(("///", "//!")) for line in every)
twice = {name: count for name, count in types.items() if count > 1}
shared = sum(twice.values())
named = members()
print(f"crates beneath the program: {len(named)}, in circles: {len(circles(named))}")
print(f"files: {len(lines)}, lines {sum(lines):,}: median {share(lines, 0.5)}, p90 {share(lines, 0.9)}, max {max(lines)}")
print(f"functions: {len(sizes):,}, characters: median {share(sizes, 0.5)}, p90 {share(sizes, 0.9)}")
total = sum(types.values())
print(f"types: {total:,}, that share their name: {shared} ({100 * shared / total:.0f} %)")
print(f"most shared: {', '.join(f'{name} {count}' for name, count in collections.Counter(twice).most_common(12))}")
print(f"lines of docs: {100 * docs / len(every):.1f} %, of comments: {100 * whys / len(every):.1f} %")
print(f"lines of README.md: {(root / 'README.md').read_text().count(chr(10))}")
