"""SolarWinds Orion: what to set in the Universal Device Poller (NPM) and in SAM, and the query for what is too old.

Orion imports neither MIBs nor such lists; they are there to be read while the pollers are made once, exported by Orion's own program
and taken to other servers.
"""

import csv
import io

from choice import FALLING, HEAD, SEVERITY, THRESHOLDS, scalars, tables

# The template "Postfix", monitor by monitor: its name, the object with the same patterns, the object that is right, what differs.
MAIL = [
    ("Delivered", "postfixTemplateDelivered", "postfixTotalDelivered", "the pattern sees local deliveries only; smtp and lmtp write another text"),
    ("Forwarded", "postfixTemplateForwarded", "postfixTotalForwarded", "no Postfix writes the pattern: it is always 0"),
    ("Rejected", "postfixTemplateRejected", "postfixTotalRejected", "the pattern also sees what milters and proxies refuse, and text that strangers choose"),
    ("Received", "postfixTemplateReceived", "postfixTotalReceived", "the pattern sees local submissions only, none that came by SMTP"),
    ("Discarded", "postfixTemplateDiscarded", "postfixTotalDiscarded", ""),
    ("Deferred", "postfixTemplateDeferred", "postfixTotalDeferrals", "attempts; postfixTotalDeferredMessages counts messages, each once"),
    ("Bounced", "postfixTemplateBounced", "postfixTotalBounced", ""),
    ("Held", "postfixTemplateHeld", "postfixTotalHeld", "the pattern sees text that strangers choose"),
]
WORDS = [
    ("Fatal", "postfixTemplateFatal", "postfixMessageFatals", "by program, and of Postfix only"),
    ("Warning", "postfixTemplateWarning", "postfixMessageWarnings", "the pattern also sees other programs, and WARN of header_checks"),
    ("Panic", "postfixTemplatePanic", "postfixMessagePanics", ""),
    ("Error", "postfixTemplateError", "postfixMessageErrors", "the pattern also sees other programs"),
]
REST = [
    ("Mail queue", "", "postfixTotalMessages", "", "the script counts what mailq prints; so does this"),
    ("Process master, CPU and memory", "", "postfixDaemonCpuPercent", "postfixDaemonMemoryKiB", "row of daemon 1; hundredths of a percent"),
    ("Process qmgr, CPU and memory", "", "postfixDaemonCpuPercent", "postfixDaemonMemoryKiB", "row of daemon 2"),
    ("Process pickup, CPU and memory", "", "postfixDaemonCpuPercent", "postfixDaemonMemoryKiB", "row of daemon 3; pickup leaves after 100 jobs and rests, which is no fault: alarm on postfixDaemonState 3 and 4 only"),
    ("SMTP monitor", "", "postfixProbeStatus", "postfixProbeLatency", "a probe of kind smtp, by the host itself; also banner, TLS and certificate"),
    ("IMAP4 round trip", "", "postfixProbeStatus", "postfixProbeLatency", "a probe of kind imapRoundTrip; the stages are in postfixProbeStageTable"),
    ("POP3 round trip", "", "postfixProbeStatus", "postfixProbeLatency", "a probe of kind pop3RoundTrip"),
]


def written(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def limits(name):
    sign = "<" if name in FALLING else ">"
    return [f"{sign} {limit}" if limit is not None else "" for limit in THRESHOLDS.get(name, (None, None))]


def pollers(mib):
    """Universal Device Pollers. A row's label has to be a column of the same table: its name, which begins with the instance's."""
    rows = [["name", "oid", "poll type", "value type", "format", "unit", "label column", "label oid", "warning", "critical"]]
    # The text that says why is a poller of its own, shown beside the health.
    for o in [*scalars(mib), mib["postfixHealthText"]]:
        form = "Enumerated: " + " ".join(f"{n}={label}" for n, label in o.enum.items()) if o.enum else "Text" if o.text else "None"
        rows.append([o.name, o.oid + ".0", "GET", "Rate" if o.counter else "Raw Value", form, (o.units or "") + (" a second" if o.counter else ""), "", "", *limits(o.name)])
    for table, columns in tables(mib):
        for o in columns:
            form = "Enumerated: " + " ".join(f"{n}={label}" for n, label in o.enum.items()) if o.enum else "None"
            bad = [str(n) for n, label in o.enum.items() if SEVERITY.get(o.name, {}).get(label, 0) >= 2]
            limit = ["", "= " + " or ".join(bad)] if bad else limits(o.name)
            rows.append([o.name, o.oid, "GET TABLE", "Rate" if o.counter else "Raw Value", form, (o.units or "") + (" a second" if o.counter else ""), table.row_name.name, table.row_name.oid, *limit])
    return written(rows)


def components(mib):
    """SAM: SNMP monitors that take the place of the template "Postfix"."""
    rows = [["monitor of the template", "same patterns", "oid", "use instead", "oid", "second statistic", "oid", "Count statistic as difference", "what differs"]]

    def oid(name, row="N.M"):
        if not name:
            return ""
        table = mib.table_of(name)
        return mib[name].oid + (".0" if not table else "." + ".".join(row.split(".")[: len(table.index)]))

    for monitor, same, right, text in MAIL + WORDS:
        rows.append([monitor, same, oid(same), right, oid(right), "", "", "yes", text])
    for monitor, same, right, second, text in REST:
        rows.append([monitor, same, "", right, oid(right), second, oid(second), "no", text])
    rows.append(["(not in the template)", "", "", "postfixHealth", oid("postfixHealth"), "postfixSourcesFailing", oid("postfixSourcesFailing"), "no", "warning above 1, critical above 2: 4 is unknown"])
    return written(rows)


QUERY = """-- {head}
-- Custom SWQL alert on Node. A poll that yields nothing leaves the last value: a missing agent looks like the last good day. So this
-- complains about age: the health was not polled for 15 minutes although the node answers.
SELECT Nodes.Uri, Nodes.DisplayName
FROM Orion.Nodes AS Nodes
INNER JOIN Orion.NPM.CustomPollerStatusOnNode AS Polled ON Polled.NodeID = Nodes.NodeID
INNER JOIN Orion.NPM.CustomPollers AS Poller ON Poller.CustomPollerID = Polled.CustomPollerID
WHERE Poller.UniqueName = 'postfixHealth'
  AND Nodes.Status <> 2
  AND Polled.DateTime < AddMinute(-15, GetDate())

-- A second alert: a source fails, so levels and counts that come from it are old. Warning.
-- WHERE Poller.UniqueName = 'postfixSourcesFailing' AND Polled.RawStatus > 0

-- A third: the health itself; 4 is unknown. Critical.
-- WHERE Poller.UniqueName = 'postfixHealth' AND Polled.RawStatus > 2
"""


def query(mib):
    return QUERY.format(head=HEAD)
