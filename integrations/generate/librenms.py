"""LibreNMS: what to add to its definition of an operating system.

snmp_flags has b: without it net-snmp prints enumerated indices as words ("1.deferred"), and LibreNMS builds OIDs from what is
printed: it would poll objects that do not exist.
"""

from choice import HEAD, SEVERITY
from emit import document

FLAGS = ["-OteQUsb"]
# Sensor class, table, column, more.
SENSORS = [
    ("count", "postfixQueueMessages", {}),
    ("count", "postfixDeferReasonRecipients", {}),
    ("count", "postfixCertificateDaysLeft", {"low_limit": 3, "low_warn_limit": 14}),
    ("delay", "postfixQueueOldestAge", {}),
    ("delay", "postfixProbeLatency", {"divisor": 1000}),
    ("percent", "postfixSpoolActivePercent", {"high_limit": 95, "warn_limit": 80}),
    ("percent", "postfixSpoolFreePercent", {"low_limit": 5, "low_warn_limit": 10}),
    ("percent", "postfixServiceProcessPercent", {"warn_limit": 90}),
]
WORDS = {
    "postfixQueueMessages": "", "postfixDeferReasonRecipients": "waiting for ", "postfixCertificateDaysLeft": "certificate, days left: ", "postfixQueueOldestAge": "oldest in ",
    "postfixProbeLatency": "probe ", "postfixSpoolActivePercent": "active queue of ", "postfixSpoolFreePercent": "spool free of ", "postfixServiceProcessPercent": "processes of ",
}

TEXT = f"""{HEAD}

What to add to LibreNMS' resources/definitions/os_discovery/linux.yaml (its part "modules"), with POSTFIX-MIB in LibreNMS' folder mibs/.
The flag b keeps enumerated indices as numbers; without it LibreNMS polls OIDs that do not exist."""


def descr(mib, name, prefix):
    row = mib.table_of(name).row_name.name
    return f"{prefix}{{{{ ${row} }}}}"


def entry(mib, name, table, description, more):
    found = {"oid": table, "value": name, "num_oid": f".{mib[name].oid}.{{{{ $index }}}}", "descr": description}
    found |= {"index": f"{name}.{{{{ $index }}}}", "group": "Postfix"} | more
    return found | {"snmp_flags": FLAGS}


def definition(mib):
    sensors = {"state": {"data": []}}
    for name in SEVERITY:
        if name not in mib:
            continue
        table = mib.table_of(name)
        words = "Postfix health" if not table else descr(mib, name, "Postfix " + table.prefix.removeprefix("postfix").lower() + " ")
        states = [{"descr": label, "graph": 1, "value": number, "generic": SEVERITY[name].get(label, 3)} for number, label in mib[name].enum.items()]
        sensors["state"]["data"].append(entry(mib, name, table.name if table else name, words, {"state_name": name, "states": states}))
    for kind, name, more in SENSORS:
        if name in mib:
            found = entry(mib, name, mib.table_of(name).name, descr(mib, name, "Postfix " + WORDS[name]), more)
            sensors.setdefault(kind, {"data": []})["data"].append(found)
    return document(TEXT, {"mib": "POSTFIX-MIB", "modules": {"sensors": sensors}})
