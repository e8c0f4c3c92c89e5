"""PRTG: lookups that make states of numbers, and the OIDs for SNMP Custom Advanced and Custom Table sensors."""

import csv
import io

from choice import HEAD, SEVERITY, THRESHOLDS, scalars, tables

STATES = ("Ok", "Warning", "Error", "Error")


def lookups(mib):
    for name in SEVERITY:
        if name in mib:
            yield f"prtg/postfix-agentx.{name}.ovl", lookup(mib[name])


def lookup(o):
    wanted = next(number for number, label in o.enum.items() if SEVERITY[o.name].get(label) == 0)
    lines = "\n".join(f'    <SingleInt state="{STATES[SEVERITY[o.name].get(label, 3)]}" value="{number}">{label}</SingleInt>' for number, label in o.enum.items())
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- {HEAD} PRTG: lookups\\custom. -->
<ValueLookup id="postfix-agentx.{o.name}" desiredValue="{wanted}" undefinedState="Error" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="PaeValueLookup.xsd">
  <Lookups>
{lines}
  </Lookups>
</ValueLookup>
"""


def channels(mib):
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["sensor", "channel", "oid", "identification column", "value type", "unit", "lookup", "upper warning limit", "upper error limit", "lower warning limit", "lower error limit"])

    def row(sensor, o, scalar, identification):
        warning, critical = THRESHOLDS.get(o.name, (None, None))
        limits = [str(limit) if limit is not None else "" for limit in (warning, critical)]
        falling = o.name.endswith(("FreePercent", "DaysLeft"))
        lookup = f"postfix-agentx.{o.name}" if o.name in SEVERITY else ""
        rows.writerow([sensor, o.name, o.oid + (".0" if scalar else ""), identification, "Delta (Counter)" if o.counter else "Absolute (signed integer)", o.units or "", lookup, *([""] * 4 if lookup else ["", "", *limits] if falling else [*limits, "", ""])])

    # A Custom Advanced sensor has up to ten channels.
    for number, o in enumerate(scalars(mib)):
        row(f"SNMP Custom Advanced: Postfix {number // 10 + 1}", o, True, "")
    for table, columns in tables(mib):
        for o in columns:
            row(f"SNMP Custom Table: {table.oid}", o, False, f"{table.row_name.oid} ({table.row_name.name})")
    return out.getvalue()
