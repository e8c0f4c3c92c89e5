"""OpenNMS: data collection and thresholds. RRDtool's names have 19 characters, so aliases are made of the descriptors."""

from choice import FALLING, HEAD, THRESHOLDS, scalars, tables

SHORT = {"Total": "T", "Deferred": "Dfrd", "Messages": "Msgs", "Temporary": "Temp", "Permanent": "Perm", "Rejects": "Rej", "Transport": "Tra", "Destination": "Dest", "Connect": "Conn", "Failures": "Fail", "Received": "Rcvd", "Recipients": "Rcpt", "Certificate": "Cert", "Process": "Proc", "Percent": "Pct", "Unrecognised": "Unrec", "Suppressed": "Supp", "Discontinuities": "Gaps", "LogFile": "Log", "Service": "Svc", "Message": "Msg", "Instance": "Inst", "BounceReason": "Bnc", "DeferReason": "DfrR", "Connections": "Conns"}


def alias(name):
    made = "pf" + name.removeprefix("postfix")
    for word, short in sorted(SHORT.items(), key=lambda pair: -len(pair[0])):
        if len(made) > 19:
            made = made.replace(word, short)
    return made[:19]


def kind(o):
    return "counter" if o.counter else "gauge"


def collection(mib):
    text = f"""<?xml version="1.0"?>
<!-- {HEAD}
     $OPENNMS_HOME/etc/datacollection/postfix-agentx.xml, and an include-collection of group "postfix-agentx" in datacollection-config.xml. -->
<datacollection-group name="postfix-agentx" xmlns="http://xmlns.opennms.org/xsd/config/datacollection">
"""
    known = list(tables(mib))
    for table, _ in known:
        text += f"""  <resourceType name="{table.prefix}" label="Postfix {table.prefix.removeprefix('postfix')}" resourceLabel="${{{table.row_name.name}}}">
    <persistenceSelectorStrategy class="org.opennms.netmgt.collection.support.PersistAllSelectorStrategy"/>
    <storageStrategy class="org.opennms.netmgt.collection.support.IndexStorageStrategy"/>
  </resourceType>
"""
    text += '  <group name="postfix-scalars" ifType="ignore">\n'
    for o in scalars(mib):
        text += f'    <mibObj oid=".{o.oid}" instance="0" alias="{alias(o.name)}" type="{kind(o)}"/>\n'
    text += "  </group>\n"
    for table, columns in known:
        text += f'  <group name="{table.name}" ifType="all">\n'
        text += f'    <mibObj oid=".{table.row_name.oid}" instance="{table.prefix}" alias="{table.row_name.name}" type="string"/>\n'
        for o in columns:
            text += f'    <mibObj oid=".{o.oid}" instance="{table.prefix}" alias="{alias(o.name)}" type="{kind(o)}"/>\n'
        text += "  </group>\n"
    groups = "".join(f"      <includeGroup>{name}</includeGroup>\n" for name in ["postfix-scalars", *(table.name for table, _ in known)])
    return text + f"""  <systemDef name="net-snmp with postfix-agentx">
    <sysoidMask>.1.3.6.1.4.1.8072.3.2.</sysoidMask>
    <collect>
{groups}    </collect>
  </systemDef>
</datacollection-group>
"""


def thresholds(mib):
    """By the node or by the row; only what is there is compared, so SnmpMonitor on the health is the alarm on what is not."""
    text = f"""<?xml version="1.0"?>
<!-- {HEAD}
     A group for $OPENNMS_HOME/etc/thresholds.xml. What is missing is not compared: the poller's service on postfixHealth
     (docs/managers/opennms.md) has to be there too. -->
<group name="postfix-agentx" rrdRepository="/var/lib/opennms/rrd/snmp/">
"""
    shown = {o.name: "node" for o in scalars(mib)}
    for table, columns in tables(mib):
        shown |= {o.name: table.prefix for o in columns}
    for name, (warning, critical) in THRESHOLDS.items():
        if name not in shown:
            continue
        value = warning if warning is not None else critical
        way = "low" if name in FALLING else "high"
        # "more than" 0 is 1 and up.
        trigger = value if way == "low" else value + 1
        label = f' ds-label="{mib.table_of(name).row_name.name}"' if shown[name] != "node" else ""
        text += f'  <threshold type="{way}" ds-type="{shown[name]}" value="{trigger}" rearm="{value}" trigger="3" ds-name="{alias(name)}"{label}/>\n'
    return text + "</group>\n"
