"""Generated from mibs/POSTFIX-MIB.txt by integrations/generate; `make integrations` writes it again.

SNMP check plug-in for Checkmk 2.3 and newer: local/lib/python3/cmk_addons/plugins/postfix_agentx/agent_based/postfix_agentx.py.
Where the agent is missing, the sections vanish and the service "Check_MK" says so ("missing monitoring data"): let that one notify.
An item that is not there any more is UNKNOWN, never 0.
"""

from cmk.agent_based.v2 import CheckPlugin, Result, Service, SimpleSNMPSection, SNMPTree, State, check_levels, exists, render

# Number and word of each state, as in the MIB; and how bad a word is: 0 OK, 1 WARN, 2 CRIT, 3 UNKNOWN.
WORDS = {
    "postfixHealth": {"1": "ok", "2": "warning", "3": "critical", "4": "unknown"},
    "postfixInstanceState": {"1": "running", "2": "stopped", "3": "unknown"},
    "postfixSourceStatus": {"1": "ok", "2": "stale", "3": "failing", "4": "disabled", "5": "starting"},
    "postfixLogFileStatus": {"1": "ok", "2": "stale", "3": "failing", "4": "disabled", "5": "starting"},
    "postfixDaemonState": {"1": "running", "2": "resting", "3": "notRunning", "4": "throttled", "5": "unknown"},
    "postfixProbeStatus": {"1": "up", "2": "down", "3": "unknown", "4": "disabled"},
    "postfixCertificateStatus": {"1": "ok", "2": "expiring", "3": "expired", "4": "notYetValid", "5": "untrusted", "6": "unreadable"},
    "postfixAlarmState": {"1": "normal", "2": "raised", "3": "unknown"},
}
SEVERITY = {
    "postfixHealth": {"ok": 0, "warning": 1, "critical": 2, "unknown": 3},
    "postfixInstanceState": {"running": 0, "stopped": 2, "unknown": 3},
    "postfixSourceStatus": {"ok": 0, "stale": 1, "failing": 2, "disabled": 0, "starting": 3},
    "postfixLogFileStatus": {"ok": 0, "stale": 1, "failing": 2, "disabled": 0, "starting": 3},
    "postfixDaemonState": {"running": 0, "resting": 0, "notRunning": 2, "throttled": 2, "unknown": 3},
    "postfixProbeStatus": {"up": 0, "down": 2, "unknown": 3, "disabled": 0},
    "postfixCertificateStatus": {"ok": 0, "expiring": 1, "expired": 2, "notYetValid": 2, "untrusted": 2, "unreadable": 3},
    "postfixAlarmState": {"normal": 0, "raised": 1, "unknown": 3},
}
DETECT = exists(".1.3.6.1.4.1.8072.9999.9999.25.1.1.1.1.0")


def judged(name, number):
    word = WORDS[name].get(number, number)
    return State(SEVERITY[name].get(word, 3)), word


def parse_health(string_table):
    return {"health": string_table[0][0], "text": string_table[0][1]} if string_table else None


def check_health(section):
    state, _ = judged("postfixHealth", section["health"])
    yield Result(state=state, summary=section["text"])


snmp_section_postfix_agentx_health = SimpleSNMPSection(
    name="postfix_agentx_health",
    detect=DETECT,
    parse_function=parse_health,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.1.1", oids=["1", "2"]),
)

check_plugin_postfix_agentx_health = CheckPlugin(
    name="postfix_agentx_health",
    service_name="Postfix health",
    discovery_function=lambda section: [Service()],
    check_function=check_health,
)


def parse_rows(string_table):
    """By the row's name, which begins with the instance's and is unique in its table."""
    return {row[0]: row[1:] for row in string_table if row[0]} or None


def discover_rows(section):
    for item in section:
        yield Service(item=item)


def state_check(name):
    def check(item, section):
        if item in section:
            state, word = judged(name, section[item][0])
            yield Result(state=state, summary=word)

    return check


snmp_section_postfix_agentx_instance = SimpleSNMPSection(
    name="postfix_agentx_instance",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.3.1.1", oids=["2", "7"]),
)

check_plugin_postfix_agentx_instance = CheckPlugin(
    name="postfix_agentx_instance",
    service_name="Postfix instance %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixInstanceState"),
)


snmp_section_postfix_agentx_source = SimpleSNMPSection(
    name="postfix_agentx_source",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.1.3.1", oids=["2", "4"]),
)

check_plugin_postfix_agentx_source = CheckPlugin(
    name="postfix_agentx_source",
    service_name="Postfix source %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixSourceStatus"),
)


snmp_section_postfix_agentx_logfile = SimpleSNMPSection(
    name="postfix_agentx_logfile",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.1.4.1", oids=["2", "3"]),
)

check_plugin_postfix_agentx_logfile = CheckPlugin(
    name="postfix_agentx_logfile",
    service_name="Postfix logfile %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixLogFileStatus"),
)


snmp_section_postfix_agentx_daemon = SimpleSNMPSection(
    name="postfix_agentx_daemon",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.8.1.1", oids=["2", "3"]),
)

check_plugin_postfix_agentx_daemon = CheckPlugin(
    name="postfix_agentx_daemon",
    service_name="Postfix daemon %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixDaemonState"),
)


snmp_section_postfix_agentx_probe = SimpleSNMPSection(
    name="postfix_agentx_probe",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.9.1.1", oids=["2", "5"]),
)

check_plugin_postfix_agentx_probe = CheckPlugin(
    name="postfix_agentx_probe",
    service_name="Postfix probe %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixProbeStatus"),
)


snmp_section_postfix_agentx_certificate = SimpleSNMPSection(
    name="postfix_agentx_certificate",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.9.3.1", oids=["2", "10"]),
)

check_plugin_postfix_agentx_certificate = CheckPlugin(
    name="postfix_agentx_certificate",
    service_name="Postfix certificate %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixCertificateStatus"),
)


snmp_section_postfix_agentx_alarm = SimpleSNMPSection(
    name="postfix_agentx_alarm",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.10.1.1", oids=["2", "8"]),
)

check_plugin_postfix_agentx_alarm = CheckPlugin(
    name="postfix_agentx_alarm",
    service_name="Postfix alarm %s",
    discovery_function=discover_rows,
    check_function=state_check("postfixAlarmState"),
)


def check_queue(item, params, section):
    if item not in section:
        return
    messages, age = section[item]
    if messages:
        yield from check_levels(int(messages), levels_upper=params["messages"], metric_name="mail_queue_length", label="Messages", render_func=str)
    if age:
        yield from check_levels(int(age), levels_upper=params["age"], metric_name="age_oldest", label="Oldest", render_func=render.timespan)


snmp_section_postfix_agentx_queue = SimpleSNMPSection(
    name="postfix_agentx_queue",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base=".1.3.6.1.4.1.8072.9999.9999.25.1.4.1.1", oids=["2", "3", "6"]),
)

check_plugin_postfix_agentx_queue = CheckPlugin(
    name="postfix_agentx_queue",
    service_name="Postfix queue %s",
    discovery_function=discover_rows,
    check_function=check_queue,
    check_default_parameters={"messages": ("fixed", (1000, 5000)), "age": ("no_levels", None)},
)
