"""collectd: its snmp plugin, and the threshold plugin for what may be missing."""

from choice import HEAD, tables

SCALARS = ["postfixHealth", "postfixSourcesFailing", "postfixInstancesDown", "postfixTotalMessages", "postfixTotalDeferred", "postfixTotalOldestAge"]
EVENTS = ["postfixTotalReceived", "postfixTotalDelivered", "postfixTotalBounced", "postfixTotalDeferrals", "postfixTotalRejectsPermanent"]
# Tables with few rows that everybody looks at.
SHOWN = ["postfixInstanceTable", "postfixSourceTable", "postfixQueueTable", "postfixMailTable", "postfixTransportTable", "postfixDestinationTable", "postfixTlsTable", "postfixDaemonTable", "postfixProbeTable"]


def block(name, kind, *lines):
    inner = "\n".join(f"    {line}" for line in lines)
    return f'  <Data "{name}">\n    Type "{kind}"\n{inner}\n  </Data>'


def configuration(mib):
    blocks, names = [], []
    for name in SCALARS + EVENTS:
        o = mib[name]
        names.append(name)
        blocks.append(block(name, "derive" if o.counter else "gauge", "Table false", f'TypeInstance "{name}"', f'Values ".{o.oid}.0"'))
    for table, columns in tables(mib):
        if table.name not in SHOWN:
            continue
        for o in columns:
            names.append(o.name)
            blocks.append(block(o.name, "derive" if o.counter else "gauge", "Table true", f'TypeInstancePrefix "{o.name}-"', f'TypeInstanceOID ".{table.row_name.oid}"', f'Values ".{o.oid}"'))
    collect = "\n".join(f'    Collect "{name}"' for name in names)
    head = f"""# {HEAD}
#
# The parts of a collectd.conf that matter. Numeric OIDs: collectd needs no MIB file. Rows are called by their names, which begin
# with the instance's, so that the rows of two instances are two series. A scalar that is missing is nan, a table's row that is
# missing is not written at all: so the threshold plugin has to complain about the health that does not come, too.
LoadPlugin snmp
<Plugin snmp>
"""
    tail = """
  <Host "mx">
    Address "127.0.0.1:161"
    Version 2
    Community "public"
""" + collect + """
    Interval 60
  </Host>
</Plugin>
LoadPlugin threshold
<Plugin threshold>
  <Host "mx">
    <Plugin "snmp">
      <Type "gauge">
        Instance "postfixHealth"
        # What must not be, because nan is below no maximum and above no minimum: from 2 on a warning, 3 and 4 a failure, and with
        # them nan, which is what a missing agent leaves.
        Invert true
        WarningMin 2
        WarningMax 4
        FailureMin 3
        FailureMax 4
        # Nobody answers: no value comes.
        Interesting true
      </Type>
      <Type "gauge">
        Instance "postfixSourcesFailing"
        WarningMax 0
        Interesting true
      </Type>
      <Type "gauge">
        Instance "postfixInstancesDown"
        FailureMax 0
      </Type>
      <Type "gauge">
        Instance "postfixTotalDeferred"
        WarningMax 1000
        FailureMax 5000
      </Type>
      <Type "gauge">
        Instance "postfixTotalOldestAge"
        WarningMax 600
        FailureMax 3600
      </Type>
    </Plugin>
  </Host>
</Plugin>
"""
    return head + "\n".join(blocks) + tail
