"""Grafana dashboard for the series of module postfix of snmp_exporter."""

import json

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HOST = 'job=~"$job", instance=~"$instance"'
INSTANCE = HOST + ', postfixInstanceName=~"$postfix"'
LEGEND = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
# spanNulls: what was unknown is a gap.
LINE = {"drawStyle": "line", "fillOpacity": 5, "spanNulls": False}
STACK = {"drawStyle": "line", "fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}, "spanNulls": False}
HEALTH = {
    "1": {"text": "ok", "color": "green"},
    "2": {"text": "warning", "color": "yellow"},
    "3": {"text": "critical", "color": "red"},
    "4": {"text": "unknown", "color": "purple"},
    "5": {"text": "agent missing", "color": "dark-red"},
    "6": {"text": "nobody answers", "color": "dark-red"},
}


def rate(metric, where=INSTANCE):
    return f"rate({metric}{{{where}}}[$__rate_interval])"


def health():
    """1 to 4 as in the MIB; 5 where snmpd answers and the agent does not, 6 where nobody does: never "No data"."""
    states = ("ok", "warning", "critical", "unknown")
    parts = [f'sum by (job, instance) ({n} * (postfixHealth{{{HOST}, postfixHealth="{s}"}} == 1))' for n, s in enumerate(states, 1)]
    return " or ".join(parts) + f" or (up{{{HOST}}} == 1) * 0 + 5 or (up{{{HOST}}} == 0) + 6"


class Board:
    def __init__(self):
        self.panels, self.y, self.x, self.height = [], 0, 0, 0

    def row(self, title):
        self.newline()
        self.panels.append({"id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": self.y, "w": 24, "h": 1}})
        self.y += 1

    def newline(self):
        self.y += self.height
        self.x = self.height = 0

    def panel(self, title, kind, width, height, targets, unit="short", description="", hide=(), **more):
        if self.x + width > 24:
            self.newline()
        instant = kind in ("table", "stat")
        made = []
        for number, (expr, legend) in enumerate(targets):
            target = {"refId": chr(65 + number), "datasource": SOURCE, "expr": expr, "legendFormat": legend, "editorMode": "code", "range": not instant, "instant": instant}
            target["format"] = {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series")
            made.append(target)
        defaults = {"unit": unit, "custom": more.get("custom", {}), "mappings": more.get("mappings", [])}
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}
        defaults["color"] = {"mode": "thresholds" if kind == "stat" else "palette-classic"}
        panel = {
            "id": len(self.panels) + 1,
            "title": title,
            "type": kind,
            "description": description,
            "datasource": SOURCE,
            "gridPos": {"x": self.x, "y": self.y, "w": width, "h": height},
            "targets": made,
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": more.get("options", LEGEND if kind == "timeseries" else {}),
        }
        if kind == "table":
            hidden = {name: True for name in ("Time", "__name__", "job", *hide)}
            panel["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
        self.panels.append(panel)
        self.x += width
        self.height = max(self.height, height)


def overview(b):
    b.row("Hosts")
    b.panel("Health", "stat", 8, 6, [(health(), "{{instance}}")], mappings=[{"type": "value", "options": HEALTH}],
            description="postfixHealth; a host whose agent is missing or that does not answer is shown as such.",
            options={"colorMode": "background", "reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"})
    b.panel("Why", "table", 16, 6, [(f"postfixHealthText{{{HOST}}}", "")], hide=("Value",), description="postfixHealthText: the worst cause, and what to do.")
    b.panel("Sources that cannot be read", "table", 12, 6, [(f'postfixSourceStatus{{{HOST}, postfixSourceStatus!="ok"}} == 1', "")],
            hide=("Value", "postfixInstanceIndex"), description="What is in no panel below. disabled is as configured.")
    b.panel("Waiting messages by host", "timeseries", 12, 6, [(f"sum by (instance) (postfixQueueMessages{{{INSTANCE}}})", "{{instance}}")], custom=LINE)


def queues(b):
    b.row("Queues")
    b.panel("Messages by queue", "timeseries", 12, 8, [(f"sum by (postfixQueueKind) (postfixQueueMessages{{{INSTANCE}}})", "{{postfixQueueKind}}")], custom=STACK)
    b.panel("Oldest message by queue", "timeseries", 12, 8, [(f"max by (postfixQueueKind) (postfixQueueOldestAge{{{INSTANCE}}})", "{{postfixQueueKind}}")], unit="s", custom=LINE)
    b.panel("Deferred by age", "timeseries", 12, 8, [(f'sum by (postfixQueueAgeBucket, postfixQueueAgeLimit) (postfixQueueAgeMessages{{{INSTANCE}, postfixQueueKind="deferred"}})', "up to {{postfixQueueAgeLimit}} min")],
            custom=STACK, description="qshape's buckets; 4294967295 is without limit.")
    b.panel("What waiting recipients wait for", "timeseries", 12, 8, [(f"sum by (postfixDeferReason) (postfixDeferReasonRecipients{{{INSTANCE}}}) > 0", "{{postfixDeferReason}}")], custom=STACK)
    b.panel("Largest backlogs by domain", "table", 24, 8, [(f"topk(20, postfixDomainMessages{{{INSTANCE}}})", "")], hide=("postfixInstanceIndex", "postfixDomainIndex", "postfixInstanceName"))


def flow(b, mib):
    b.row("Mail flow")
    events = (("ReceivedMessages", "received"), ("Sent", "delivered"), ("DeferredMessages", "put off at the first attempt"), ("Bounced", "bounced"), ("Expired", "expired"))
    b.panel("Mail flow", "timeseries", 12, 8, [(f"sum({rate('postfixMail' + m)})", l) for m, l in events], unit="cps", custom=LINE)
    b.panel("Refused by reason", "timeseries", 12, 8, [(f"sum by (postfixRejectReason) ({rate('postfixReject' + m)}) > 0", "{{postfixRejectReason}} " + c) for m, c in (("Permanent", "5xx"), ("Temporary", "4xx"))], unit="cps", custom=STACK)
    total = INSTANCE + ', postfixDelayStage="total"'
    buckets = f"sum by (le) ({rate('postfix:delay_seconds_bucket', total)})"
    b.panel("Delay of delivered mail", "heatmap", 12, 8, [(buckets, "{{le}}")], unit="s", description="Needs the recording rules of group postfix-histograms.",
            options={"calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64}, "cellGap": 1, "legend": {"show": True}})
    b.panel("Delay: half and 95 % of it", "timeseries", 12, 8, [(f"histogram_quantile({q}, {buckets})", l) for q, l in ((0.5, "half of it within"), (0.95, "95 % within"))], unit="s", custom=LINE)
    b.panel("Deliveries by transport", "timeseries", 12, 8, [(f"sum by (postfixTransportName) ({rate('postfixTransportSent')}) > 0", "{{postfixTransportName}}")], unit="cps", custom=STACK)
    if "postfixDestinationTable" in mib.tables:
        b.panel("Destinations: put off and bounced", "timeseries", 12, 8, [(f"topk(10, sum by (postfixDestinationName) ({rate('postfixDestination' + m)}) > 0)", "{{postfixDestinationName}} " + l) for m, l in (("Deferrals", "put off"), ("Bounced", "bounced"))], unit="cps", custom=LINE)
    else:
        b.panel("Deferrals by reason", "timeseries", 12, 8, [(f"sum by (postfixDeferReason) ({rate('postfixDeferEventDeferrals')}) > 0", "{{postfixDeferReason}}")], unit="cps", custom=STACK)
    if "postfixDestinationTable" in mib.tables:
        b.panel("What destinations said last", "table", 24, 8, [(f"topk(20, sum by (instance, postfixDestinationName) ({rate('postfixDestinationDeferrals')} + {rate('postfixDestinationBounced')}) > 0) * on (instance, postfixDestinationName) group_right () postfixDestinationLastReason{{{INSTANCE}}}", "")],
                hide=("Value", "postfixInstanceIndex", "postfixDestinationIndex", "postfixInstanceName"), description="The text of the latest deferral or bounce, for destinations that put off or bounce now.")
    if "postfixBounceReasonTable" in mib.tables:
        b.panel("Why deliveries bounce", "timeseries", 12, 8, [(f"sum by (postfixBounceReason) ({rate('postfixBounceReasonBounces')}) > 0", "{{postfixBounceReason}}")], unit="cps", custom=STACK)
    if "postfixSizeTable" in mib.tables:
        sizes = f"sum by (le) ({rate('postfix:size_bytes_bucket')})"
        b.panel("Size of received mail: half and 95 % of it", "timeseries", 12, 8, [(f"histogram_quantile({q}, {sizes})", l) for q, l in ((0.5, "half of it below"), (0.95, "95 % below"))], unit="bytes", custom=LINE)


def server(b, mib):
    b.row("SMTP server and TLS")
    b.panel("Sessions", "timeseries", 8, 8, [(f"sum by (postfixSmtpdName) (postfixSmtpdSessions{{{INSTANCE}}})", "{{postfixSmtpdName}}")], custom=LINE)
    b.panel("Logins", "timeseries", 8, 8, [(f"sum by (postfixSmtpdName) ({rate('postfixSmtpd' + m)})", "{{postfixSmtpdName}} " + l) for m, l in (("AuthOk", "ok"), ("AuthFailed", "failed"))], unit="cps", custom=LINE)
    if "postfixTlsTable" in mib.tables:
        b.panel("TLS by protocol", "timeseries", 8, 8, [(f"sum by (postfixTlsDirection, postfixTlsProtocol) ({rate('postfixTlsSessions')}) > 0", "{{postfixTlsDirection}} {{postfixTlsProtocol}}")], unit="cps", custom=STACK)
    else:
        b.panel("Sessions with TLS", "timeseries", 8, 8, [(f"sum({rate('postfixSmtpd' + m)})", l) for m, l in (("TlsSessions", "server, with TLS"), ("Connects", "server, all"), ("TlsErrors", "server, TLS errors"))] + [(f"sum({rate('postfixTransportTlsConnections')})", "client, with TLS")], unit="cps", custom=LINE)


def processes(b):
    b.row("Processes and programs")
    b.panel("Services near their process limit", "timeseries", 8, 8, [(f"topk(10, postfixServiceProcessPercent{{{INSTANCE}}} and postfixServiceProcessLimit{{{INSTANCE}}} > 1)", "{{postfixServiceName}}")], unit="percent", custom=LINE)
    b.panel("CPU of Postfix", "timeseries", 8, 8, [(f"postfixInstanceProcessCpuPercent{{{INSTANCE}}} / 100", "{{instance}} {{postfixInstanceName}}")], unit="percent", custom=LINE)
    b.panel("Warnings, errors, fatals, panics", "timeseries", 8, 8, [(f"sum by (postfixMessageName) ({rate('postfixMessage' + m)}) > 0", "{{postfixMessageName}} " + m.lower()) for m in ("Warnings", "Errors", "Fatals", "Panics")], unit="cps", custom=LINE)
    b.panel("Daemons that do not run", "table", 12, 6, [(f'postfixDaemonState{{{INSTANCE}, postfixDaemonState=~"notRunning|throttled|unknown"}} == 1', "")], hide=("Value", "postfixInstanceIndex"), description="resting is healthy: master starts it again when it is needed.")
    b.panel("Age of what is shown, by source", "timeseries", 12, 6, [(f"max by (postfixInstanceName, postfixSourceKind) (postfixSourceAge{{{INSTANCE}}})", "{{postfixInstanceName}} {{postfixSourceKind}}")], unit="s", custom=LINE)


def probes(b, mib):
    if "postfixProbeTable" not in mib.tables:
        return
    b.row("Probes and certificates")
    b.panel("Probes that fail", "table", 8, 6, [(f'postfixProbeStatus{{{HOST}, postfixProbeStatus!="up"}} == 1', "")], hide=("Value", "postfixProbeIndex"))
    b.panel("Latency of probes", "timeseries", 8, 6, [(f"postfixProbeLatency{{{HOST}}}", "{{instance}} {{postfixProbeName}}")], unit="ms", custom=LINE)
    if "postfixCertificateTable" in mib.tables:
        name = mib.tables["postfixCertificateTable"].row_name.name
        b.panel("Days left of certificates", "timeseries", 8, 6, [(f"postfixCertificateDaysLeft{{{HOST}}}", "{{instance}} {{" + name + "}}")], unit="d", custom=LINE)


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "sort": 1}


def dashboard(mib):
    b = Board()
    overview(b)
    queues(b)
    flow(b, mib)
    server(b, mib)
    processes(b)
    probes(b, mib)
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {"text": "default", "value": "default"}},
        variable("job", "Job", "label_values(up, job)") | {"current": {"text": "postfix", "value": "postfix"}, "includeAll": False, "multi": False},
        variable("instance", "Host", 'label_values(up{job=~"$job"}, instance)'),
        variable("postfix", "Postfix", 'label_values(postfixInstanceState{job=~"$job", instance=~"$instance"}, postfixInstanceName)'),
    ]
    board = {
        "uid": "postfix-agentx", "title": "Postfix", "tags": ["postfix", "snmp"], "schemaVersion": 39, "editable": True, "graphTooltip": 1,
        "refresh": "1m", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "templating": {"list": variables}, "annotations": {"list": []}, "panels": b.panels, "links": [],
    }
    return json.dumps(board, indent=1) + "\n"
