"""Writes every file of integrations/ that is made from the MIB, or says which differ.

    python3 integrations/generate/generate.py            writes
    python3 integrations/generate/generate.py --check    exit status 1 where a file is not what would be written
"""

import pathlib
import sys

import cacti
import checkmk
import collectd
import exporter
import grafana
import icinga
import librenms
import mrtg
import munin
import opennms
import profiles
import prtg
import rules
import solarwinds
import telegraf
import zabbix
from mib import REPOSITORY, Mib


def files(mib):
    yield "prometheus/generator.yml", exporter.generator(mib)
    yield "prometheus/snmp.yml", exporter.new(mib)
    yield "prometheus/snmp-0.22.yml", exporter.old(mib)
    yield "prometheus/postfix.rules.yml", rules.rules(mib)
    yield "grafana/postfix.json", grafana.dashboard(mib)
    yield "zabbix/postfix_snmp_7.0.yaml", zabbix.template(mib, "7.0")
    yield "zabbix/postfix_snmp_6.0.yaml", zabbix.template(mib, "6.0")
    yield "icinga2/postfix-agentx.conf", icinga.configuration(mib)
    yield "librenms/postfix-agentx.yaml", librenms.definition(mib)
    yield "solarwinds/undp.csv", solarwinds.pollers(mib)
    yield "solarwinds/sam-components.csv", solarwinds.components(mib)
    yield "solarwinds/alerts.swql", solarwinds.query(mib)
    yield "collectd/postfix-agentx.conf", collectd.configuration(mib)
    yield "munin/snmp__postfix", munin.plugin(mib)
    yield "mrtg/mrtg.cfg", mrtg.configuration(mib)
    yield from cacti.queries(mib)
    yield "telegraf/postfix-agentx.conf", telegraf.configuration(mib)
    yield "netdata/postfix-agentx.yaml", profiles.netdata(mib)
    yield "datadog/postfix-agentx.yaml", profiles.datadog(mib)
    yield from prtg.lookups(mib)
    yield "prtg/channels.csv", prtg.channels(mib)
    yield "checkmk/postfix_agentx.py", checkmk.plugin(mib)
    yield "opennms/postfix-agentx.xml", opennms.collection(mib)
    yield "opennms/thresholds.xml", opennms.thresholds(mib)


def main():
    check = "--check" in sys.argv[1:]
    differ = []
    for name, text in files(Mib()):
        path = REPOSITORY / "integrations" / name
        if path.exists() and path.read_text() == text:
            continue
        differ.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in differ:
        print(("differs" if check else "written") + f": integrations/{name}")
    if check and differ:
        print("`make integrations` writes them", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
