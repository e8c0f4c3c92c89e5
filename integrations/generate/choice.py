"""What the smaller managers get: a choice, because most of them ask for OIDs one by one. Names only; the rest is the MIB's.

Their alarms read the tables' rows where the manager can, and scalars where it cannot; never a level alone: beside each goes
postfixSourcesFailing, because a level whose source fails is missing, and what is missing raises nothing in most managers.
"""

HEALTH = ["postfixHealth", "postfixSourcesFailing", "postfixInstancesDown", "postfixAlarmsRaised"]
LEVELS = ["postfixTotal" + name for name in ("Messages", "Incoming", "Active", "Deferred", "Hold", "Maildrop", "Corrupt", "OldestAge", "DeferredOldestAge", "Sessions", "Processes")]
EVENTS = ["postfixTotal" + name for name in ("Received", "Delivered", "Forwarded", "DeferredMessages", "Deferrals", "Bounced", "Expired", "Held", "Discarded", "RejectsTemporary", "RejectsPermanent", "Discontinuities")]

TABLES = {
    "postfixInstanceTable": ["State"],
    "postfixSourceTable": ["Status", "Age"],
    "postfixSpoolTable": ["FreePercent", "ActivePercent"],
    "postfixQueueTable": ["Messages", "KiB", "OldestAge"],
    "postfixDeferReasonTable": ["Recipients"],
    "postfixMailTable": ["ReceivedMessages", "ReceivedKiB", "Sent", "SentKiB", "DeferredMessages", "Bounced", "Expired", "RejectsTemporary", "RejectsPermanent"],
    "postfixTransportTable": ["Sent", "Deferrals", "Bounced", "ConnectFailures"],
    "postfixDestinationTable": ["Sent", "Deferrals", "Bounced", "ConnectFailures"],
    "postfixBounceReasonTable": ["Bounces"],
    "postfixTlsTable": ["Sessions"],
    "postfixRejectCodeTable": ["Commands"],
    "postfixPatternTable": ["Matches"],
    "postfixSmtpdTable": ["Sessions", "Connects", "LostConnections", "AuthOk", "AuthFailed", "RejectsTemporary", "RejectsPermanent"],
    "postfixRejectTable": ["Temporary", "Permanent"],
    "postfixDaemonTable": ["State", "CpuPercent", "MemoryKiB"],
    "postfixServiceTable": ["Processes", "ProcessPercent"],
    "postfixLogFileTable": ["Status", "LinesUnrecognised", "LinesSuppressed", "BehindKiB"],
    "postfixMessageTable": ["Warnings", "Errors", "Fatals", "Panics"],
    "postfixProbeTable": ["Status", "Latency", "SuccessAge"],
    "postfixCertificateTable": ["Status", "DaysLeft"],
    "postfixAlarmTable": ["State"],
}

# Warning and critical by "more than", or by "less than" where marked; in the object's unit.
THRESHOLDS = {
    "postfixHealth": (1, 2),
    "postfixSourcesFailing": (0, None),
    "postfixInstancesDown": (None, 0),
    "postfixAlarmsRaised": (0, None),
    "postfixTotalDeferred": (1000, 5000),
    "postfixTotalOldestAge": (600, 3600),
    "postfixTotalCorrupt": (0, None),
    "postfixTotalHold": (100, None),
    "postfixSpoolActivePercent": (80, 95),
    "postfixSpoolFreePercent": (10, 5),
    "postfixServiceProcessPercent": (90, None),
    "postfixCertificateDaysLeft": (14, 3),
    "postfixProbeSuccessAge": (900, 3600),
}
FALLING = {"postfixSpoolFreePercent", "postfixCertificateDaysLeft"}

# How bad a state is: 0 fine, 1 warning, 2 critical, 3 unknown.
SEVERITY = {
    "postfixHealth": {"ok": 0, "warning": 1, "critical": 2, "unknown": 3},
    "postfixInstanceState": {"running": 0, "stopped": 2, "unknown": 3},
    "postfixSourceStatus": {"ok": 0, "stale": 1, "failing": 2, "disabled": 0, "starting": 3},
    "postfixLogFileStatus": {"ok": 0, "stale": 1, "failing": 2, "disabled": 0, "starting": 3},
    # resting is healthy: master starts the daemon again when it is needed.
    "postfixDaemonState": {"running": 0, "resting": 0, "notRunning": 2, "throttled": 2, "unknown": 3},
    "postfixProbeStatus": {"up": 0, "down": 2, "unknown": 3, "disabled": 0},
    "postfixCertificateStatus": {"ok": 0, "expiring": 1, "expired": 2, "notYetValid": 2, "untrusted": 2, "unreadable": 3},
    "postfixAlarmState": {"normal": 0, "raised": 1, "unknown": 3},
}

HEAD = "Generated from mibs/POSTFIX-MIB.txt by integrations/generate; `make integrations` writes it again."


def scalars(mib):
    return [mib[name] for name in HEALTH + LEVELS + EVENTS if name in mib]


def tables(mib):
    """The tables with the columns that are shown, as they are in this MIB."""
    for name, columns in TABLES.items():
        if name in mib.tables:
            table = mib.tables[name]
            yield table, [mib[table.prefix + column] for column in columns if table.prefix + column in mib]


def severity(o):
    """By number; a label that nobody thought of is unknown."""
    return {number: SEVERITY[o.name].get(label, 3) for number, label in o.enum.items()}


def lines(*parts):
    return "\n".join(parts) + "\n"
