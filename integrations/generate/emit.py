"""Writes YAML: block style, every string that could be read as something else in double quotes (JSON's, which YAML shares)."""

import json
import re

PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./:()|*,'%;<> -]*\Z")
RESERVED = {"true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"}


def scalar(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    plain = PLAIN.match(value) and value.lower() not in RESERVED and ": " not in value and not value.endswith((":", " "))
    if plain:
        return value
    if '"' in value and "'" not in value and "\n" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def yaml(value, indent=0):
    """The lines of a mapping or a sequence."""
    pad = "  " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            yield from entry(f"{pad}{scalar(key)}:", item, indent + 1)
    else:
        for item in value:
            if isinstance(item, (dict, list)) and item:
                inner = list(yaml(item, indent + 1))
                inner[0] = f"{pad}- {inner[0].lstrip()}"
                yield from inner
            else:
                yield f"{pad}- {empty(item)}"


def empty(item):
    return "{}" if item == {} else "[]" if item == [] else scalar(item)


def entry(head, item, indent):
    if isinstance(item, (dict, list)) and item:
        yield head
        yield from yaml(item, indent)
    elif isinstance(item, str) and "\n" in item:
        yield f"{head} |" + ("" if item.endswith("\n") else "-")
        for line in item.rstrip("\n").split("\n"):
            yield ("  " * indent + line).rstrip()
    else:
        yield f"{head} {empty(item)}"


def document(comment, value):
    head = "".join(f"# {line}\n" if line else "#\n" for line in comment.strip().split("\n"))
    return head + "\n".join(yaml(value)) + "\n"
