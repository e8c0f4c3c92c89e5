"""What the Zabbix template shows and watches: names, thresholds and words. The rest is the MIB's."""

TEMPLATE = "Postfix by SNMP"
CRITICAL = "Postfix: Critical"
GREEN, BLUE, RED, BROWN, VIOLET, PINK = "1A7C11", "2774A4", "F63100", "A54F10", "6C59DC", "FC6EA3"

# Object, title, component, options.
SCALARS = [
    ("postfixHealth", "Health", "health", {"missing": "4"}),
    ("postfixHealthText", "Health, why", "health", {"missing": "the agent is missing: snmpd answers, but has nothing of POSTFIX-MIB", "keep": "1h"}),
    ("postfixAgentUptime", "Uptime of the agent", "health", {"missing": "0"}),
    ("postfixAgentVersion", "Version of the agent", "health", {"keep": "1d"}),
    ("postfixSourcesFailing", "Sources that cannot be read", "health", {}),
    ("postfixInstancesDown", "Instances that do not run", "health", {}),
    ("postfixAlarmsRaised", "Alarms that are raised", "health", {}),
    ("postfixTotalMessages", "Messages in all queues", "queue", {}),
    ("postfixTotalKiB", "Size of all queues", "queue", {}),
    ("postfixTotalMaildrop", "Messages in maildrop", "queue", {}),
    ("postfixTotalIncoming", "Messages in incoming", "queue", {}),
    ("postfixTotalActive", "Messages in active", "queue", {}),
    ("postfixTotalDeferred", "Messages in deferred", "queue", {}),
    ("postfixTotalHold", "Messages in hold", "queue", {}),
    ("postfixTotalOldestAge", "Oldest in maildrop and incoming", "queue", {}),
    ("postfixTotalDeferredOldestAge", "Oldest in deferred", "queue", {}),
    ("postfixTotalReceived", "Received", "mail", {}),
    ("postfixTotalDelivered", "Delivered", "mail", {}),
    ("postfixTotalDeferredMessages", "Put off at the first attempt", "mail", {}),
    ("postfixTotalDeferrals", "Deferrals", "mail", {}),
    ("postfixTotalBounced", "Bounced", "mail", {}),
    ("postfixTotalExpired", "Expired", "mail", {}),
    ("postfixTotalRejectsTemporary", "Refused with 4xx", "mail", {}),
    ("postfixTotalRejectsPermanent", "Refused with 5xx", "mail", {}),
    ("postfixTotalSessions", "SMTP sessions", "mail", {}),
    ("postfixTotalProcesses", "Processes", "process", {}),
]

NO_OTHER = [{"macro": "{#NAME}", "value": r"\(other\)$", "operator": "NOT_MATCHES_REGEX"}]
RUN = "availability"


def ratio(part, whole, limit):
    """More than a share, and enough events to speak of one."""
    return f"avg(<mail {part}.{{#SNMPINDEX}}>,15m)*900>{{$POSTFIX.EVENTS.MIN}} and avg(<mail {part}.{{#SNMPINDEX}}>,15m)>{limit}*({whole})"


def average(name):
    return f"avg(<mail {name}.{{#SNMPINDEX}}>,15m)"


RULES = [
    {
        "table": "postfixSourceTable", "component": "source", "title": "Sources",
        "columns": ["postfixSourceStatus", "postfixSourceAge", ("postfixSourceError", {"keep": "1h"})],
        "triggers": [
            # 2 stale, 3 failing; 4 disabled is as configured.
            {"expression": "min(<source postfixSourceStatus.{#SNMPINDEX}>,#5)>=2 and max(<source postfixSourceStatus.{#SNMPINDEX}>,#5)<=3", "title": "Cannot be read", "priority": "AVERAGE",
             "text": "Its numbers are missing or old, so whatever watches them is blind. The item with its error says what to do."},
            {"expression": "min(<source postfixSourceStatus.{#SNMPINDEX}>,30m)=5", "title": "Has not been read once", "priority": "WARNING"},
        ],
    },
    {
        "table": "postfixInstanceTable", "component": "instance", "title": "Instances", "label": "Postfix [{#NAME}]",
        "columns": [
            "postfixInstanceState", "postfixInstanceUptime", ("postfixInstanceVersion", {"keep": "1d"}),
            ("postfixInstanceProcessProcesses", {"title": "Processes"}), ("postfixInstanceProcessCpuPercent", {"title": "CPU"}), ("postfixInstanceProcessMemoryKiB", {"title": "Memory"}),
            ("postfixSpoolFreePercent", {"title": "Spool, free"}), ("postfixSpoolFreeMiB", {"title": "Spool, free space"}), ("postfixSpoolMinFreeMiB", {"title": "Spool, queue_minfree"}),
            ("postfixSpoolActivePercent", {"title": "Active queue, share of its limit"}),
            ("postfixInstanceLogDiscontinuities", {"title": "Gaps in its counters", "level": True}),
        ],
        "triggers": [
            {"expression": "min(<instance postfixInstanceState.{#SNMPINDEX}>,#2)=2", "title": "Does not run", "priority": "HIGH"},
            {"expression": "min(<instance postfixSpoolActivePercent.{#SNMPINDEX}>,10m)>{$POSTFIX.ACTIVE.PERCENT}", "title": "Active queue nearly full", "priority": "WARNING", "scope": "capacity"},
            {"expression": "max(<instance postfixSpoolFreePercent.{#SNMPINDEX}>,5m)<{$POSTFIX.SPOOL.FREE.MIN} or max(<instance postfixSpoolFreeMiB.{#SNMPINDEX}>,5m)<2*last(<instance postfixSpoolMinFreeMiB.{#SNMPINDEX}>)",
             "title": "Spool nearly full", "priority": "HIGH", "scope": "capacity", "text": "Postfix refuses mail when less than queue_minfree is left."},
            {"expression": "change(<instance postfixInstanceLogDiscontinuities.{#SNMPINDEX}>)>0", "title": "Lines of its log were lost", "priority": "INFO", "scope": "notice", "manual_close": "YES",
             "text": "Counters are too low by what those lines would have added."},
        ],
    },
    {
        "table": "postfixMailTable", "component": "mail", "title": "Mail flow", "label": "Postfix [{#NAME}]",
        "columns": ["postfixMail" + c for c in (
            "ReceivedMessages", "ReceivedKiB", "Sent", "SentKiB", "DeferredMessages", "Deferrals", "Bounced", "Expired", "Removed", "Held", "Discarded", "RejectsTemporary", "RejectsPermanent", "LoopsDetected")],
        "triggers": [
            {"expression": ratio("postfixMailBounced", f"{average('postfixMailBounced')}+{average('postfixMailSent')}", "{$POSTFIX.BOUNCE.RATIO}"), "title": "Many deliveries bounce", "priority": "WARNING", "scope": "performance"},
            {"expression": ratio("postfixMailDeferredMessages", average("postfixMailReceivedMessages"), "{$POSTFIX.DEFER.RATIO}"), "title": "Much new mail is put off", "priority": "WARNING", "scope": "performance"},
            {"expression": ratio("postfixMailRejectsTemporary", average("postfixMailReceivedMessages"), "{$POSTFIX.REJECT4.RATIO}"), "title": "Many clients are refused with 4xx", "priority": "WARNING", "scope": "performance",
             "text": "Overload, greylisting, or lookups that fail."},
        ],
        "graphs": [{"title": "Mail flow", "items": [("postfixMailReceivedMessages", GREEN, False), ("postfixMailSent", BLUE, False), ("postfixMailDeferredMessages", RED, False), ("postfixMailBounced", BROWN, False), ("postfixMailRejectsPermanent", VIOLET, False)]}],
    },
    {
        "table": "postfixQueueTable", "component": "queue", "title": "Queues",
        "columns": ["postfixQueueMessages", ("postfixQueueKiB", {"title": "Size"}), ("postfixQueueOldestAge", {"title": "Oldest"})],
        "triggers": [
            {"expression": 'min(<queue postfixQueueMessages.{#SNMPINDEX}>,30m)>{$POSTFIX.QUEUE.MAX:"{#NAME}"}', "title": "Large backlog", "priority": "WARNING", "scope": "performance", "opdata": "{ITEM.LASTVALUE1}"},
            {"expression": 'min(<queue postfixQueueOldestAge.{#SNMPINDEX}>,5m)>{$POSTFIX.QUEUE.AGE.MAX:"{#NAME}"}', "title": "Mail is stuck", "priority": "HIGH", "scope": "performance", "opdata": "{ITEM.LASTVALUE1}"},
        ],
        "graphs": [{"title": "Messages and oldest", "items": [("postfixQueueMessages", GREEN, False), ("postfixQueueOldestAge", RED, True)]}],
    },
    {"table": "postfixDeferReasonTable", "component": "reason", "title": "What waiting mail waits for", "label": "Postfix waits for [{#NAME}]", "columns": ["postfixDeferReasonRecipients"]},
    {
        "table": "postfixTransportTable", "component": "transport", "title": "Transports", "filter": NO_OTHER,
        "columns": ["postfixTransport" + c for c in ("Sent", "Deferrals", "Bounced", "ConnectFailures", "TlsConnections")],
    },
    {
        "table": "postfixDestinationTable", "component": "destination", "title": "Destinations", "filter": NO_OTHER,
        "columns": ["postfixDestination" + c for c in ("Sent", "Deferrals", "Bounced", "ConnectFailures")] + [("postfixDestinationLastReason", {"keep": "1h"})],
        "graphs": [{"title": "Deliveries", "items": [("postfixDestinationSent", GREEN, False), ("postfixDestinationDeferrals", RED, False), ("postfixDestinationBounced", BROWN, False)]}],
    },
    {"table": "postfixBounceReasonTable", "component": "bounce", "title": "Why deliveries bounce", "label": "Postfix bounces for [{#NAME}]", "columns": ["postfixBounceReasonBounces"]},
    {
        "table": "postfixTlsTable", "component": "tls", "title": "TLS by direction and protocol", "label": "Postfix TLS [{#NAME}]",
        "columns": ["postfixTlsSessions", "postfixTlsUntrusted", "postfixTlsVerified"],
    },
    {"table": "postfixPatternTable", "component": "pattern", "title": "Patterns of the configuration", "columns": ["postfixPatternMatches"]},
    {
        "table": "postfixSmtpdTable", "component": "smtpd", "title": "SMTP servers", "label": "Postfix SMTP server [{#NAME}]", "filter": NO_OTHER,
        "columns": ["postfixSmtpd" + c for c in ("Sessions", "Connects", "LostConnections", "TlsSessions", "AuthOk", "AuthFailed", "RejectsTemporary", "RejectsPermanent")],
    },
    {"table": "postfixRejectTable", "component": "reject", "title": "Why clients are refused", "label": "Postfix refuses for [{#NAME}]", "columns": ["postfixRejectTemporary", "postfixRejectPermanent"]},
    {
        "table": "postfixDaemonTable", "component": "daemon", "title": "Daemons",
        "columns": ["postfixDaemonState", "postfixDaemonCpuPercent", ("postfixDaemonMemoryKiB", {"title": "Memory"}), "postfixDaemonRestarts"],
        "triggers": [
            {"expression": "min(<daemon postfixDaemonState.{#SNMPINDEX}>,#5)>=3 and max(<daemon postfixDaemonState.{#SNMPINDEX}>,#5)<=4", "title": "Does not run, or is throttled", "priority": "HIGH", "needs": [CRITICAL],
             "text": "resting(2) is healthy: master starts the daemon when it is needed. An instance that is down is one problem, not nine: therefore the dependency."},
        ],
    },
    {
        "table": "postfixServiceTable", "component": "service", "title": "Services of master.cf", "macros": [("{#LIMIT}", "postfixServiceProcessLimit")],
        "filter": [{"macro": "{#NAME}", "value": "{$POSTFIX.SERVICE.MATCHES}"}, {"macro": "{#LIMIT}", "value": "^[01]$", "operator": "NOT_MATCHES_REGEX"}],
        "columns": ["postfixServiceProcesses", ("postfixServiceProcessPercent", {"title": "Processes, share of the limit"}), ("postfixServiceEventThrottles", {"title": "Throttles"})],
        "triggers": [{"expression": "min(<service postfixServiceProcessPercent.{#SNMPINDEX}>,10m)>={$POSTFIX.SERVICE.PERCENT}", "title": "At its process limit", "priority": "WARNING", "scope": "capacity"}],
    },
    {
        "table": "postfixLogFileTable", "component": "log", "title": "Logs",
        "columns": ["postfixLogFileStatus", "postfixLogFileLinesRead", "postfixLogFileLinesUnrecognised", "postfixLogFileLinesSuppressed", ("postfixLogFileBehindKiB", {"title": "Not counted yet"}), ("postfixLogFileGaps", {"level": True, "title": "Gaps"})],
        "triggers": [
            {"expression": "min(<log postfixLogFileLinesSuppressed.{#SNMPINDEX}>,5m)>0", "title": "Lines are dropped", "priority": "WARNING", "scope": "notice", "text": "rsyslog's or journald's rate limit drops lines; every counter is too low by them."},
            {"expression": "min(<log postfixLogFileBehindKiB.{#SNMPINDEX}>,10m)>10485760", "title": "The agent cannot keep up", "priority": "WARNING", "scope": "performance"},
        ],
    },
    {
        "table": "postfixMessageTable", "component": "program", "title": "Programs", "filter": NO_OTHER,
        "columns": ["postfixMessageWarnings", "postfixMessageErrors", "postfixMessageFatals", "postfixMessagePanics"],
        "triggers": [{"expression": "max(<program postfixMessagePanics.{#SNMPINDEX}>,10m)>0", "title": "Panics", "priority": "HIGH", "text": "A bug, or a host that lies to Postfix. postlog -f and the mail log say what."}],
    },
    {
        "table": "postfixSenderTable", "component": "sender", "title": "SASL users", "label": "Postfix SASL user [{#NAME}]", "filter": NO_OTHER,
        # The busiest of the last hour only: who is not among them any more sends nothing to speak of.
        "columns": [("postfixSenderRecipients", {"missing": "0", "title": "Recipients within the hour"}), ("postfixSenderAuthFailures", {"missing": "0", "title": "Failed logins within the hour"})],
        "triggers": [{"expression": "min(<sender postfixSenderRecipients.{#SNMPINDEX}>,5m)>{$POSTFIX.SENDER.RECIPIENTS}", "title": "Sends to very many", "priority": "AVERAGE", "scope": "security", "text": "A hacked account?", "opdata": "{ITEM.LASTVALUE1}"}],
    },
    {
        "table": "postfixProbeTable", "component": "probe", "title": "Probes",
        "columns": ["postfixProbeStatus", "postfixProbeLatency", "postfixProbeSuccessAge", ("postfixProbeLastError", {"keep": "1h"}), "postfixProbeLost"],
        "triggers": [
            {"expression": "min(<probe postfixProbeStatus.{#SNMPINDEX}>,#3)=2 and max(<probe postfixProbeStatus.{#SNMPINDEX}>,#3)=2", "title": "Fails", "priority": "HIGH"},
            {"expression": "min(<probe postfixProbeStatus.{#SNMPINDEX}>,30m)=3 and max(<probe postfixProbeStatus.{#SNMPINDEX}>,30m)=3", "title": "Could not be run", "priority": "WARNING"},
        ],
    },
    {
        "table": "postfixCertificateTable", "component": "certificate", "title": "Certificates",
        "columns": ["postfixCertificateDaysLeft", "postfixCertificateStatus", ("postfixCertificateNotAfter", {"keep": "1d"})],
        "triggers": [
            {"expression": "last(<certificate postfixCertificateDaysLeft.{#SNMPINDEX}>)<{$POSTFIX.CERTIFICATE.DAYS}", "title": "Ends soon", "priority": "WARNING", "scope": "notice", "opdata": "{ITEM.LASTVALUE1} days"},
            {"expression": "min(<certificate postfixCertificateStatus.{#SNMPINDEX}>,#5)>=3", "title": "Is not good", "priority": "HIGH", "scope": "security"},
        ],
    },
    {
        "table": "postfixAlarmTable", "component": "alarm", "title": "Alarms of the agent",
        "columns": ["postfixAlarmState"],
        "triggers": [
            {"expression": "min(<alarm postfixAlarmState.{#SNMPINDEX}>,#2)=2 and max(<alarm postfixAlarmState.{#SNMPINDEX}>,#2)=2", "title": "Raised", "priority": "WARNING", "needs": [CRITICAL],
             "text": "Set in the agent's configuration. One of severity critical is told by \"Postfix: Critical\"."},
            {"expression": "min(<alarm postfixAlarmState.{#SNMPINDEX}>,15m)=3", "title": "Has no value to look at", "priority": "INFO", "needs": [CRITICAL],
             "text": "Follows from what is stopped or cannot be read; that is told first."},
        ],
    },
]

MACROS = [
    ("{$POSTFIX.INTERVAL}", "1m", "How often the host is asked."),
    ("{$POSTFIX.DISCOVERY}", "15m", "How often rows are looked for."),
    ("{$POSTFIX.SNMP.TIMEOUT}", "5m", "How long snmpd may be silent."),
    ("{$POSTFIX.NODATA}", "10m", "How long no value may come."),
    ("{$POSTFIX.QUEUE.MAX}", "1000000", "Messages a queue may hold for half an hour; with the row's name (\"postfix deferred\") as context."),
    ("{$POSTFIX.QUEUE.MAX:regex:\"deferred$\"}", "1000", "Messages that may be deferred."),
    ("{$POSTFIX.QUEUE.MAX:regex:\"corrupt$\"}", "0", "Messages that may be corrupt."),
    ("{$POSTFIX.QUEUE.AGE.MAX}", "10000d", "How old mail may get in a queue; deferred and hold have no limit of their own."),
    ("{$POSTFIX.QUEUE.AGE.MAX:regex:\"(maildrop|incoming)$\"}", "10m", "How old mail may get where it should not stay."),
    ("{$POSTFIX.EVENTS.MIN}", "20", "Below so many events in 15 minutes ratios raise nothing."),
    ("{$POSTFIX.BOUNCE.RATIO}", "0.1", "Share of deliveries that may bounce."),
    ("{$POSTFIX.DEFER.RATIO}", "0.2", "Share of new mail that may be put off."),
    ("{$POSTFIX.REJECT4.RATIO}", "0.5", "Commands refused with 4xx for each message received."),
    ("{$POSTFIX.ACTIVE.PERCENT}", "80", "Fill of the active queue."),
    ("{$POSTFIX.SPOOL.FREE.MIN}", "5", "Free percent of the spool."),
    ("{$POSTFIX.SERVICE.PERCENT}", "90", "Processes of a service in percent of its limit."),
    ("{$POSTFIX.SERVICE.MATCHES}", ".*", "Which services of master.cf are discovered."),
    ("{$POSTFIX.SENDER.RECIPIENTS}", "500", "Recipients of one SASL user within the hour."),
    ("{$POSTFIX.CERTIFICATE.DAYS}", "14", "Days a certificate has to have left."),
]
