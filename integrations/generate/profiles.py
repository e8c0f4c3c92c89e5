"""SNMP profiles of Datadog and of netdata's go.d collector, which share a format."""

from choice import HEAD, scalars, tables
from emit import document


def unit(o):
    """UCUM's annotation, in the singular."""
    words = (o.units or "state").removesuffix("s")
    return "{" + {"deliverie": "delivery", "processe": "process"}.get(words, words) + "}"


def symbol(o, kind, scalar=False):
    found = {"OID": o.oid + (".0" if scalar else ""), "name": o.name}
    if kind == "netdata":
        found["chart_meta"] = {"family": f"Postfix/{o.name.removeprefix('postfix')}", "unit": unit(o), "description": o.first}
        if o.enum:
            found["mapping"] = {"items": dict(o.enum)}
    elif o.counter:
        found["metric_type"] = "monotonic_count_and_rate"
    return found


def metrics(mib, kind):
    for o in scalars(mib):
        yield {"MIB": "POSTFIX-MIB", "symbol": symbol(o, kind, True)}
    for table, columns in tables(mib):
        tags = [{"tag": "postfix_row", "symbol": {"OID": table.row_name.oid, "name": table.row_name.name}}]
        for number, index in enumerate(table.index, 1):
            # Columns that are not accessible are read from the index.
            tag = {"tag": index.name, "index": number}
            if index.enum:
                tag["mapping"] = {"items": dict(index.enum)} if kind == "netdata" else dict(index.enum)
            tags.append(tag)
        yield {"MIB": "POSTFIX-MIB", "table": {"OID": table.oid, "name": table.name}, "symbols": [symbol(o, kind) for o in columns], "metric_tags": tags}


def netdata(mib):
    text = f"""{HEAD}

netdata: go.d/snmp.profiles/postfix-agentx.yaml in the user's configuration directory. Every profile that matches is applied, so the host's own stays."""
    selector = [{"sysobjectid": {"include": ["1.3.6.1.4.1.8072.*"]}}]
    return document(text, {"selector": selector, "metrics": list(metrics(mib, "netdata"))})


def datadog(mib):
    text = f"""{HEAD}

Datadog: conf.d/snmp.d/profiles/postfix-agentx.yaml. A device has one profile: this one takes the place of net-snmp's for Linux and extends
what that had."""
    base = ["_base.yaml", "_generic-ucd.yaml", "_generic-host-resources.yaml", "_generic-if.yaml"]
    return document(text, {"sysobjectid": "1.3.6.1.4.1.8072.3.2.10", "extends": base, "metrics": list(metrics(mib, "datadog"))})
