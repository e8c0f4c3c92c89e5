"""telegraf: inputs.snmp with numeric OIDs, so that it needs no MIB file."""

from choice import HEAD, scalars, tables


def configuration(mib):
    text = f"""# {HEAD}
#
# Numeric OIDs. What is missing is dropped silently: alarm on the absence of postfixHealth (deadman), not only on its value.
[[inputs.snmp]]
  agents = ["udp://127.0.0.1:161"]
  version = 2
  community = "public"
  name = "postfix"
  max_repetitions = 25
  timeout = "5s"
  retries = 2
  agent_host_tag = "source"
"""
    for o in [*scalars(mib), mib["postfixHealthText"]]:
        text += f'  [[inputs.snmp.field]]\n    oid = ".{o.oid}.0"\n    name = "{o.name}"\n'
    for table, columns in tables(mib):
        # The row's name begins with the instance's; the index is a tag too, as it is what never moves.
        text += f'\n  [[inputs.snmp.table]]\n    name = "{table.prefix}"\n    inherit_tags = ["source"]\n    index_as_tag = true\n'
        text += f'    [[inputs.snmp.table.field]]\n      oid = ".{table.row_name.oid}"\n      name = "row"\n      is_tag = true\n'
        for o in columns:
            text += f'    [[inputs.snmp.table.field]]\n      oid = ".{o.oid}"\n      name = "{o.name}"\n'
    return text
