#!/usr/bin/env python3
"""What the binary is made of, from Cargo.lock alone; nothing is fetched and nothing installed.

    packaging/dependencies.py check     licences that may not be, sources that are not crates.io, new duplicates; exit status 1
    packaging/dependencies.py sbom      CycloneDX 1.5, as JSON, of what is linked into the Linux binary

Known vulnerabilities need a database from outside: `cargo deny check advisories` or `cargo audit`, where there is a network.
"""

import json
import os
import re
import subprocess
import sys

TARGET = "x86_64-unknown-linux-gnu"
# Any of these is enough of an OR, all have to be of an AND.
ALLOWED = {
    "MIT", "MIT-0", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "0BSD", "Unlicense",
    "Unicode-3.0", "BSL-1.0", "CDLA-Permissive-2.0", "bzip2-1.0.6",
}
# Crates that are there in two versions, and who is waited for. A new pair fails the check: it costs size and review.
TWICE = {}
with open(os.path.join(os.path.dirname(__file__), "duplicates.json"), encoding="utf-8") as file:
    TWICE = json.load(file)


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def linked(data):
    """The packages that the binary is linked from, without what only builds or tests it."""
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    packages = {package["id"]: package for package in data["packages"]}
    todo, seen = [data["resolve"]["root"]], set()
    while todo:
        this = todo.pop()
        if this in seen:
            continue
        seen.add(this)
        for dependency in nodes[this]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]) and not is_macro(packages[dependency["pkg"]]):
                todo.append(dependency["pkg"])
    return sorted((packages[this] for this in seen), key=lambda package: (package["name"], package["version"]))


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])


def is_allowed(expression):
    """Whether an SPDX expression lets us; the old `A/B` means OR."""
    text = expression.replace("/", " OR ")
    words = re.findall(r"\(|\)|[^()\s]+", text)
    terms, out = [], []
    for word in words:
        if word in ("(", ")", "OR", "AND"):
            if terms:
                out.append(str(" ".join(terms) in ALLOWED))
                terms = []
            out.append({"OR": "or", "AND": "and"}.get(word, word))
        else:
            terms.append(word)
    if terms:
        out.append(str(" ".join(terms) in ALLOWED))
    # Nothing but True, False, or, and, parentheses is in it.
    return bool(out) and bool(eval(" ".join(out), {"__builtins__": {}}))


def check(data):
    faults = []
    versions = {}
    for package in linked(data):
        name = f"{package['name']} {package['version']}"
        if package["id"] == data["resolve"]["root"]:
            continue
        versions.setdefault(package["name"], []).append(package["version"])
        if not is_allowed(package["license"] or ""):
            faults.append(f"{name}: licence {package['license']!r} is not among those that may be (packaging/dependencies.py)")
        if package["source"] != "registry+https://github.com/rust-lang/crates.io-index":
            faults.append(f"{name}: comes from {package['source']}, not from crates.io")
    twice = {name: found for name, found in versions.items() if len(found) > 1}
    for name in sorted(set(twice) - set(TWICE)):
        faults.append(f"{name} is linked in {len(twice[name])} versions, {', '.join(twice[name])}: bring them together, or say why not in packaging/duplicates.json")
    for name in sorted(set(TWICE) - set(twice)):
        faults.append(f"{name} is there once only: take it out of packaging/duplicates.json")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(versions)} crates are linked: licences, sources and duplicates {'are as they may be' if not faults else 'are NOT'}")
    return 1 if faults else 0


def sbom(data):
    packages = linked(data)
    root = next(package for package in packages if package["id"] == data["resolve"]["root"])
    reference = {package["id"]: f"pkg:cargo/{package['name']}@{package['version']}" for package in packages}

    def component(package, kind):
        found = {
            "type": kind,
            "bom-ref": reference[package["id"]],
            "name": package["name"],
            "version": package["version"],
            "purl": reference[package["id"]],
        }
        if package["license"]:
            found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        return found

    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root, "application")},
        "components": [component(package, "library") for package in packages if package is not root],
        "dependencies": [
            {
                "ref": reference[package["id"]],
                "dependsOn": sorted(
                    reference[d["pkg"]]
                    for d in nodes[package["id"]]["deps"]
                    if d["pkg"] in reference and any(kind["kind"] is None for kind in d["dep_kinds"])
                ),
            }
            for package in packages
        ],
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()
    return 0


if __name__ == "__main__":
    commands = {"check": check, "sbom": sbom}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    sys.exit(commands[sys.argv[1]](metadata()))
