"""Checkmk: an SNMP check plug-in for its check API 2 (2.3 and newer)."""

import json

from choice import HEAD, SEVERITY

TEXT = '''"""{head}

SNMP check plug-in for Checkmk 2.3 and newer: local/lib/python3/cmk_addons/plugins/postfix_agentx/agent_based/postfix_agentx.py.
Where the agent is missing, the sections vanish and the service "Check_MK" says so ("missing monitoring data"): let that one notify.
An item that is not there any more is UNKNOWN, never 0.
"""

from cmk.agent_based.v2 import CheckPlugin, Result, Service, SimpleSNMPSection, SNMPTree, State, check_levels, exists, render

# Number and word of each state, as in the MIB; and how bad a word is: 0 OK, 1 WARN, 2 CRIT, 3 UNKNOWN.
WORDS = {{
{words}
}}
SEVERITY = {{
{severity}
}}
DETECT = exists("{health}.0")


def judged(name, number):
    word = WORDS[name].get(number, number)
    return State(SEVERITY[name].get(word, 3)), word


def parse_health(string_table):
    return {{"health": string_table[0][0], "text": string_table[0][1]}} if string_table else None


def check_health(section):
    state, _ = judged("postfixHealth", section["health"])
    yield Result(state=state, summary=section["text"])


snmp_section_postfix_agentx_health = SimpleSNMPSection(
    name="postfix_agentx_health",
    detect=DETECT,
    parse_function=parse_health,
    fetch=SNMPTree(base="{health_base}", oids=["{health_arc}", "{text_arc}"]),
)

check_plugin_postfix_agentx_health = CheckPlugin(
    name="postfix_agentx_health",
    service_name="Postfix health",
    discovery_function=lambda section: [Service()],
    check_function=check_health,
)


def parse_rows(string_table):
    """By the row's name, which begins with the instance's and is unique in its table."""
    return {{row[0]: row[1:] for row in string_table if row[0]}} or None


def discover_rows(section):
    for item in section:
        yield Service(item=item)


def state_check(name):
    def check(item, section):
        if item in section:
            state, word = judged(name, section[item][0])
            yield Result(state=state, summary=word)

    return check


{states}


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
    fetch=SNMPTree(base="{queue_base}", oids={queue_arcs}),
)

check_plugin_postfix_agentx_queue = CheckPlugin(
    name="postfix_agentx_queue",
    service_name="Postfix queue %s",
    discovery_function=discover_rows,
    check_function=check_queue,
    check_default_parameters={{"messages": ("fixed", (1000, 5000)), "age": ("no_levels", None)}},
)
'''

STATE = '''snmp_section_postfix_agentx_{short} = SimpleSNMPSection(
    name="postfix_agentx_{short}",
    detect=DETECT,
    parse_function=parse_rows,
    fetch=SNMPTree(base="{base}", oids=["{name_arc}", "{arc}"]),
)

check_plugin_postfix_agentx_{short} = CheckPlugin(
    name="postfix_agentx_{short}",
    service_name="Postfix {short} %s",
    discovery_function=discover_rows,
    check_function=state_check("{name}"),
)'''


def split(oid):
    base, _, arc = oid.rpartition(".")
    return "." + base, arc


def plugin(mib):
    names = [name for name in SEVERITY if name in mib]
    words = "\n".join(f'    "{n}": {json.dumps({str(k): v for k, v in mib[n].enum.items()})},' for n in names)
    severity = "\n".join(f'    "{n}": {json.dumps({label: SEVERITY[n].get(label, 3) for label in mib[n].enum.values()})},' for n in names)
    states = []
    for name in names:
        table = mib.table_of(name)
        if table:
            base, arc = split(mib[name].oid)
            states.append(STATE.format(short=table.prefix.removeprefix("postfix").lower(), base=base, name_arc=split(table.row_name.oid)[1], arc=arc, name=name))
    health, text = (mib[n].oid for n in ("postfixHealth", "postfixHealthText"))
    queue = [mib[n].oid for n in ("postfixQueueName", "postfixQueueMessages", "postfixQueueOldestAge")]
    return TEXT.format(
        head=HEAD, words=words, severity=severity, health="." + health, health_base=split(health)[0], health_arc=split(health)[1], text_arc=split(text)[1],
        states="\n\n\n".join(states), queue_base=split(queue[0])[0], queue_arcs=json.dumps([split(oid)[1] for oid in queue]),
    )
