"""Zabbix template "Postfix by SNMP": 7.0, and 6.0 from the same lists.

7.0 asks once a minute for the whole tree (`walk[]`), and everything else is cut out of that answer. 6.0 has no `walk[]`: there
each item is an OID of its own, which Zabbix asks for in bulk.
"""

import hashlib
import re
import uuid

from emit import document
from zabbix_lists import MACROS, RULES, SCALARS, TEMPLATE
from zabbix_view import dashboards, graphs

NOTICE = """Generated from mibs/POSTFIX-MIB.txt by integrations/generate; `make integrations` writes it again.
A site with a root of its own replaces {root} in this file."""
UNITS = {"seconds": "s", "KiB": "B", "MiB": "B", "milliseconds": "s", "percent": "%", "octets": "B", "hundredths of a percent": "%", "centiseconds": "s", "minutes": "s"}
FACTOR = {"KiB": "1024", "MiB": "1048576", "milliseconds": "0.001", "hundredths of a percent": "0.01", "centiseconds": "0.01", "minutes": "60"}
# What begins and what ends, for the traps.
BEGINS = ("postfixAlarmRaised", "postfixInstanceDown", "postfixDaemonDown", "postfixSourceFailing", "postfixProbeDown", "postfixCertificateExpiring", "postfixPanic")
ENDS = ("postfixAlarmCleared", "postfixInstanceUp", "postfixDaemonUp", "postfixSourceRecovered", "postfixProbeUp")


def identity(*parts):
    """Stable, and of the form of UUIDv4 that Zabbix asks for."""
    return uuid.UUID(bytes=hashlib.md5("/".join(("postfix-agentx", *map(str, parts))).encode()).digest(), version=4).hex


def words(name, prefix):
    """postfixMailReceivedMessages below postfixMail: "Received messages"."""
    parts = re.findall(r"[KM]iB|[A-Z][a-z0-9]+", name.removeprefix(prefix))
    # Zabbix scales the unit by itself.
    kept = {"Cpu": "CPU", "Tls": "TLS", "Smtp": "SMTP", "KiB": "octets", "MiB": "octets"}
    text = " ".join(kept.get(part, part.lower()) for part in parts)
    return text[:1].upper() + text[1:]


class Template:
    def __init__(self, mib, version):
        self.mib, self.version, self.maps = mib, version, {}

    @property
    def walks(self):
        return self.version != "6.0"

    def map(self, name):
        full = "POSTFIX-MIB::" + name
        self.maps[full] = [{"value": str(number), "newvalue": label} for number, label in self.mib[name].enum.items()]
        return {"name": full}

    def source(self, name, index, missing):
        """Where the value comes from; `missing` is what is taken for a value that is not there."""
        oid = f"{self.mib[name].oid}.{index}"
        handler = {"error_handler": "CUSTOM_VALUE", "error_handler_params": missing} if missing is not None else {}
        if not self.walks:
            checks = [{"type": "CHECK_NOT_SUPPORTED", "parameters": [""]} | handler] if handler else []
            return {"type": "SNMP_AGENT", "snmp_oid": oid}, "{$POSTFIX.INTERVAL}", checks
        kind = "1" if self.mib[name].base == "SnmpAdminString" else "0"
        return {"type": "DEPENDENT"}, "0", [{"type": "SNMP_WALK_VALUE", "parameters": [oid, kind]} | handler]

    def item(self, name, index, title, component, missing=None, keep=None, level=False):
        o = self.mib[name]
        kind, delay, steps = self.source(name, index, missing)
        item = {"uuid": identity("item", name, index), "name": title} | {"type": kind.pop("type")} | kind
        item |= {"key": f"postfix.{component}[{name}.{index}]", "delay": delay}
        rate = o.counter and not level
        units, factor = UNITS.get(o.units, ""), FACTOR.get(o.units)
        if o.base == "TimeTicks":
            units, factor = "uptime", "0.01"
        if rate:
            units = {"B": "Bps"}.get(units, units if units == "s" else f"!{o.units}/s")
        if factor:
            steps.append({"type": "MULTIPLIER", "parameters": [factor]})
        if rate:
            steps.append({"type": "CHANGE_PER_SECOND", "parameters": [""]})
        if keep:
            steps.append({"type": "DISCARD_UNCHANGED_HEARTBEAT", "parameters": [keep]})
        if o.text:
            item |= {"value_type": "CHAR", "trends": "0"}
        elif factor or rate or o.base == "Integer32":
            item["value_type"] = "FLOAT"
        if units and not o.text and not (o.counter and level):
            item["units"] = units
        if o.enum:
            item["valuemap"] = self.map(name)
        item["description"] = f"MIB: POSTFIX-MIB\n{o.description}"
        if self.walks:
            item["master_item"] = {"key": "postfix.walk"}
        if steps:
            item["preprocessing"] = steps
        return item | {"tags": [{"tag": "component", "value": component}]}

    def trigger(self, expression, title, priority, text="", scope="availability", needs=(), **more):
        trigger = {"uuid": identity("trigger", title), "expression": self.spell(expression), "name": title}
        trigger |= {key: more[key] for key in ("recovery_mode", "recovery_expression", "correlation_mode", "correlation_tag", "event_name", "opdata") if key in more}
        if "recovery_expression" in more:
            trigger["recovery_expression"] = self.spell(more["recovery_expression"])
        trigger |= {"priority": priority}
        if text:
            trigger["description"] = text
        trigger |= {key: more[key] for key in ("type", "manual_close") if key in more}
        if needs:
            trigger["dependencies"] = [{"name": name, "expression": self.plain[name]} for name in needs]
        trigger["tags"] = [{"tag": "scope", "value": scope}, *more.get("tags", [])]
        return trigger

    def spell(self, expression):
        """<component object.index> is short for /Postfix by SNMP/postfix.component[object.index]."""
        return re.sub(r"<([a-z]+) (postfix[^>\s]+)>", lambda m: f"/{TEMPLATE}/postfix.{m[1]}[{m[2]}]", expression)

    def plain_triggers(self):
        available = f"max(/{TEMPLATE}/zabbix[host,snmp,available],{{$POSTFIX.SNMP.TIMEOUT}})=0"
        health, why = "<health postfixHealth.0>", "<health postfixHealthText.0>"
        uptime = "<health postfixAgentUptime.0>"
        rows = [
            ("available", available, "Postfix: No SNMP data collection", "WARNING", "snmpd does not answer: nothing is known of this host's Postfix.", []),
            ("uptime", f"max({uptime},#2)=0", "Postfix: The agent is missing", "HIGH",
             "snmpd answers, but has nothing of POSTFIX-MIB. Look at systemctl status postfix-agentx, and at the view and agentXSocket in snmpd's configuration.", [0]),
            ("health", f"min({health},#2)=4 and length(last({why}))>=0", "Postfix: It cannot be told how it is", "HIGH", "The agent cannot look at something that matters.", [0, 1]),
            ("health", f"nodata({health},{{$POSTFIX.NODATA}})=1", "Postfix: No value for {$POSTFIX.NODATA}", "WARNING", "The items stopped: the master item is unsupported, or the proxy is gone.", [0]),
            ("health", f"min({health},#2)=3 and length(last({why}))>=0", "Postfix: Critical", "HIGH", "The worst cause and what to do is in the operational data.", []),
            ("health", f"min({health},#10)>=2 and max({health},#10)<=3 and length(last({why}))>=0", "Postfix: Warning", "WARNING", "The worst cause and what to do is in the operational data.", [0, 1, 4]),
        ]
        self.plain = {row[2]: self.spell(row[1]) for row in rows}
        found = {}
        for item, expression, title, priority, text, needs in rows:
            more = {"opdata": "{ITEM.LASTVALUE2}"} if "length(" in expression else {}
            trigger = self.trigger(expression, title, priority, text, needs=[rows[n][2] for n in needs], **more)
            found.setdefault(item, []).append(trigger)
        return found

    def scalars(self):
        triggers = self.plain_triggers()
        yield {
            "uuid": identity("item", "available"), "name": "Postfix: SNMP availability", "type": "INTERNAL", "key": "zabbix[host,snmp,available]", "delay": "{$POSTFIX.INTERVAL}", "history": "7d",
            "description": "Availability of SNMP checks on the host: 0 not available, 1 available, 2 unknown.",
            "valuemap": self.available(), "tags": [{"tag": "component", "value": "health"}], "triggers": triggers["available"],
        }
        if self.walks:
            yield {
                "uuid": identity("item", "walk"), "name": "Postfix: SNMP walk of POSTFIX-MIB", "type": "SNMP_AGENT", "snmp_oid": f"walk[{self.mib.root}]", "key": "postfix.walk",
                "delay": "{$POSTFIX.INTERVAL}", "history": "0", "value_type": "TEXT", "trends": "0",
                "description": "The whole tree of postfix-agentx; all other items are cut out of this answer.",
                "tags": [{"tag": "component", "value": "raw"}],
            }
        for name, title, component, more in SCALARS:
            if name not in self.mib:
                continue
            rate = self.mib[name].counter and not more.get("level")
            item = self.item(name, "0", f"Postfix: {title}" + (" per second" if rate else ""), component, **more)
            for key, of in (("health", "postfixHealth"), ("uptime", "postfixAgentUptime")):
                if name == of:
                    item["triggers"] = triggers[key]
            yield item
        yield self.traps()

    def available(self):
        self.maps["Postfix: zabbix.host.available"] = [{"value": str(n), "newvalue": t} for n, t in enumerate(("not available", "available", "unknown"))]
        return {"name": "Postfix: zabbix.host.available"}

    def traps(self):
        numbers = self.mib.notifications
        # No backslash: in a key it means something else than in a function's text.
        root = f"{self.mib.root}.0.".replace(".", "[.]")
        key = f'snmptrap["(POSTFIX-MIB::postfix|{root})"]'

        def pattern(names):
            known = [name for name in names if name in numbers]
            by_number = "|".join(str(numbers[name]) for name in known)
            return f"({'|'.join(known)}|{root}({by_number})([^0-9]|$))"

        def find(names):
            return f'find(/{TEMPLATE}/{key},,"regexp","{pattern(names)}")=1'

        column = self.mib["postfixAlarmName"].oid.replace(".", "[.]")
        number = '{{ITEM.VALUE}.regsub("(postfixAlarmName|' + column + ')[.]([0-9]+)","\\2")}'
        return {
            "uuid": identity("item", "traps"), "name": "Postfix: Notifications", "type": "SNMP_TRAP", "key": key, "delay": "0", "history": "31d", "value_type": "LOG", "trends": "0",
            "description": "What the agent's alarms tell through snmpd (trap2sink, informsink), if the server has snmptrapd before it. Told at once, without waiting for the next poll.",
            "tags": [{"tag": "component", "value": "notification"}],
            "triggers": [
                self.trigger(
                    find(BEGINS), "Postfix: Notified of an alarm", "AVERAGE", "Its text is in the operational data; it ends with the notification of its end. Rows of postfixAlarmTable are told apart by their index.",
                    scope="notification", recovery_mode="RECOVERY_EXPRESSION", recovery_expression=find(ENDS), correlation_mode="TAG_VALUE", correlation_tag="alarm",
                    type="MULTIPLE", manual_close="YES", opdata="{ITEM.LASTVALUE1}", tags=[{"tag": "alarm", "value": number}],
                ),
            ],
        }

    def rule(self, rule):
        mib, table = self.mib, self.mib.tables[rule["table"]]
        macros = [("{#NAME}", table.row_name.name), *rule.get("macros", [])]
        steps = []
        if self.walks:
            parameters = [part for macro, name in macros for part in (macro, mib[name].oid, "1" if mib[name].base == "SnmpAdminString" else "0")]
            steps.append({"type": "SNMP_WALK_TO_JSON", "parameters": parameters, "error_handler": "DISCARD_VALUE"})
            found = {"type": "DEPENDENT"}
        else:
            found = {"type": "SNMP_AGENT", "snmp_oid": "discovery[" + ",".join(f"{macro},{mib[name].oid}" for macro, name in macros) + "]"}
        steps.append({"type": "DISCARD_UNCHANGED_HEARTBEAT", "parameters": ["1h"]})
        component = rule["component"]
        key = f"postfix.{rule.get('key', component)}.discovery"
        found = {"uuid": identity("rule", key), "name": rule["title"]} | found | {"key": key, "delay": "0" if self.walks else "{$POSTFIX.DISCOVERY}"}
        conditions = [c | {"formulaid": chr(65 + n)} for n, c in enumerate(rule.get("filter", []))]
        if conditions:
            found["filter"] = {"evaltype": "AND", "conditions": conditions}
        found["lifetime"] = "7d"
        if self.walks:
            found["enabled_lifetime_type"] = "DISABLE_NEVER"
        label = rule.get("label", f"Postfix {component} [{{#NAME}}]")
        items = []
        for entry in rule["columns"]:
            name, more = (entry, {}) if isinstance(entry, str) else entry
            if name not in mib:
                continue
            prefix = mib.table_of(name).prefix
            title = more.get("title") or words(name, prefix)
            rate = mib[name].counter and not more.get("level")
            options = {k: v for k, v in more.items() if k in ("missing", "keep", "level")}
            items.append(self.item(name, "{#SNMPINDEX}", f"{label}: {title}" + (" per second" if rate else ""), component, **options))
        found["item_prototypes"] = items
        keys = {item["key"]: item for item in items}
        for trigger in rule.get("triggers", []):
            trigger = dict(trigger)
            made = self.trigger(trigger.pop("expression"), f"{label}: {trigger.pop('title')}", trigger.pop("priority"), **trigger)
            used = set(re.findall(re.escape(f"/{TEMPLATE}/") + r"(postfix\.\w+\[[^\]]+\])", made["expression"]))
            # Zabbix writes a trigger on one item below it, and one on several below the rule.
            if len(used) == 1:
                keys[used.pop()].setdefault("trigger_prototypes", []).append(made)
            else:
                found.setdefault("trigger_prototypes", []).append(made)
        prototypes = [
            {"uuid": identity("graph", rule["table"], g["title"]), "name": f"{label}: {g['title']}"}
            | ({"type": g["type"]} if "type" in g else {})
            | {"graph_items": [{"sortorder": str(n), "color": color, **({"yaxisside": "RIGHT"} if right else {}), "item": {"host": TEMPLATE, "key": f"postfix.{component}[{name}.{{#SNMPINDEX}}]"}} for n, (name, color, right) in enumerate(g["items"])]}
            for g in rule.get("graphs", [])
        ]
        if prototypes:
            found["graph_prototypes"] = prototypes
        if self.walks:
            found["master_item"] = {"key": "postfix.walk"}
        found["preprocessing"] = steps
        return found

    def document(self):
        items = list(self.scalars())
        rules = [self.rule(rule) for rule in RULES if rule["table"] in self.mib.tables]
        group = {"uuid": "a571c0d144b14fd4a87a9d9b2aa9fcd6", "name": "Templates/Applications"}
        template = {"uuid": identity("template"), "template": TEMPLATE, "name": TEMPLATE}
        template["description"] = (
            f"Postfix through postfix-agentx and snmpd.\n\nMIBs used: POSTFIX-MIB (root {self.mib.root}; replace it in this file where the site has its own).\n"
            "How-to: docs/managers/zabbix.md of postfix-agentx."
        )
        if self.walks:
            template["vendor"] = {"name": "postfix-agentx", "version": "7.0-1"}
        template |= {"groups": [{"name": group["name"]}], "items": items, "discovery_rules": rules}
        template["tags"] = [{"tag": "class", "value": "application"}, {"tag": "target", "value": "postfix"}]
        macros = [m for m in MACROS if self.walks is False or m[0] != "{$POSTFIX.DISCOVERY}"]
        template["macros"] = [{"macro": macro, "value": value, "description": text} for macro, value, text in macros]
        prototypes = {graph["name"] for rule in rules for graph in rule.get("graph_prototypes", [])}
        template["dashboards"] = dashboards(self.version, identity, TEMPLATE, prototypes)
        template["valuemaps"] = [{"uuid": identity("valuemap", name), "name": name, "mappings": mappings} for name, mappings in self.maps.items()]
        groups = "template_groups" if self.walks else "groups"
        export = {"version": self.version, groups: [group], "templates": [template], "graphs": graphs(identity, TEMPLATE)}
        return document(NOTICE.format(root=self.mib.root), {"zabbix_export": export})


def template(mib, version):
    return Template(mib, version).document()
