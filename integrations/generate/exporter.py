"""snmp_exporter: generator.yml, and the snmp.yml that its generator makes of it, in both formats.

`make test-managers` runs the real generator and compares, so what is written here is what it would write.
"""

from emit import document

# What alarms need and little more; about a quarter of the series.
BASIC = ["postfixAgent", "postfixTotals", "postfixInstances", "postfixQueueTable", "postfixMailTable", "postfixDaemonTable"]
LATER = ["postfixProbeTable", "postfixCertificateTable", "postfixAlarmTable"]


def walked(mib, module):
    if module == "postfix":
        return ["postfixMIB"]
    return BASIC + [name for name in LATER if name in mib.oids]


def covered(mib, module):
    """The tables and scalars below what is walked."""
    prefixes = [mib.oids[name] + "." for name in walked(mib, module)]
    return [o for o in mib.objects.values() if any((o.oid + ".").startswith(p) for p in prefixes)]


def lookups(mib, module):
    """A label for every index that is a bare number."""
    names = {o.name for o in covered(mib, module)}
    found = []
    for table in mib.tables.values():
        if table.name not in names:
            continue
        last, index = table.index[-1], [o.name for o in table.index]
        own = last.parent == table.entry.name
        limit = table.prefix + "Limit"
        if own and not last.enum:
            if limit in mib and last.name.endswith("Bucket"):
                found.append((index, limit))
            else:
                found.append((index, table.row_name.name))
    return found


def overrides(mib, module):
    over = {}
    for o in covered(mib, module):
        if not o.syntax or o.name in mib.tables or o.index:
            continue
        if o.access == "not-accessible":
            over[o.name] = {"type": "EnumAsInfo", "ignore": True} if o.enum else {"ignore": True}
        elif o.enum:
            state = o.name.endswith(("State", "Status", "Health"))
            over[o.name] = {"type": "EnumAsStateSet" if state else "EnumAsInfo"}
    for table in mib.tables.values():
        # What only says what the labels say.
        for column in table.columns:
            repeats = column is table.row_name and column.name != "postfixInstanceName"
            if repeats or column.name in (l for _, l in lookups(mib, module) if l != "postfixInstanceName"):
                if column in covered(mib, module):
                    over[column.name] = {"ignore": True}
    return over


def generator(mib):
    modules = {}
    for module in ("postfix", "postfix_basic"):
        modules[module] = {
            "walk": walked(mib, module),
            "max_repetitions": 25,
            "timeout": "3s",
            "retries": 2,
            "lookups": [{"source_indexes": index, "lookup": label} for index, label in lookups(mib, module)],
            "overrides": overrides(mib, module),
        }
    return document(
        """Generated from mibs/POSTFIX-MIB.txt by integrations/generate; `make integrations` writes it again.

The source of snmp.yml, for those who generate their own. It serves snmp_exporter's generator of all versions:
  MIBDIRS=DIRECTORY prometheus-snmp-generator generate
Module postfix is everything, postfix_basic what alarms need. The integer indices stay beside the names: a name that
cannot be read leaves its label empty, and two rows with equal labels fail the whole scrape.""",
        {"modules": modules},
    )


def kind(o, over):
    if "type" in over.get(o.name, {}):
        return over[o.name]["type"]
    return {"SnmpAdminString": "DisplayString", "DateAndTime": "DateAndTime"}.get(o.base, "counter" if o.counter else "gauge")


def module(mib, name):
    over, labels = overrides(mib, name), lookups(mib, name)
    metrics = []
    for o in covered(mib, name):
        if o.name in mib.tables or o.index or over.get(o.name, {}).get("ignore"):
            continue
        metric = {"name": o.name, "oid": o.oid, "type": kind(o, over), "help": f"{o.description.split('. ')[0]} - {o.oid}"}
        table = mib.table_of(o.name)
        if table:
            metric["indexes"] = []
            for i in table.index:
                metric["indexes"].append({"labelname": i.name, "type": kind(i, over)} | ({"enum_values": i.enum} if i.enum else {}))
            index = [i.name for i in table.index]
            found = []
            for source, label in labels:
                if all(s in index for s in source):
                    found.append({"labels": source, "labelname": label, "oid": mib[label].oid, "type": kind(mib[label], over)})
            if found:
                metric["lookups"] = found
        if o.enum:
            metric["enum_values"] = o.enum
        metrics.append(metric)
    # The generator sorts what is walked as text, and what it finds below each as SNMP does.
    walk = sorted(mib.oids[n] for n in walked(mib, name))

    def place(metric):
        below = next(at for at, oid in enumerate(walk) if (metric["oid"] + ".").startswith(oid + "."))
        return below, [int(part) for part in metric["oid"].split(".")]

    metrics.sort(key=place)
    return {"walk": walk, "metrics": metrics, "max_repetitions": 25, "retries": 2, "timeout": "3s"}


HEAD = """Generated from mibs/POSTFIX-MIB.txt by integrations/generate; `make integrations` writes it again.
What snmp_exporter's generator makes of generator.yml, for snmp_exporter {0}."""


def new(mib):
    auths = {"public_v2": {"community": "public", "version": 2}}
    return document(
        HEAD.format("0.23 and newer.\nGive it beside your own file: --config.file=snmp.yml --config.file=postfix.yml; leave out auths if yours has them"),
        {"auths": auths, "modules": {name: module(mib, name) for name in ("postfix", "postfix_basic")}},
    )


def old(mib):
    modules = {}
    for name in ("postfix", "postfix_basic"):
        modules[name] = module(mib, name)
    return document(HEAD.format("up to 0.22 (Debian 12, Ubuntu 22.04)"), modules)


def metrics(mib):
    """Every metric with its labels: what rules and panels may name."""
    over = overrides(mib, "postfix")
    found = {}
    for m in module(mib, "postfix")["metrics"]:
        labels = {i["labelname"] for i in m.get("indexes", [])} | {l["labelname"] for l in m.get("lookups", [])}
        if m["type"] in ("EnumAsStateSet", "EnumAsInfo", "DisplayString"):
            labels.add(m["name"])
        found[m["name"]] = labels
    return found
