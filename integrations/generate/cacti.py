"""Cacti: data queries. Each lists the rows of one table by their names, with the columns that can be graphed."""

from choice import HEAD, tables

SHOWN = {"postfixQueueTable": "queues", "postfixMailTable": "mail flow", "postfixTransportTable": "transports", "postfixDestinationTable": "destinations", "postfixSpoolTable": "spool"}


def queries(mib):
    for table, columns in tables(mib):
        if table.name in SHOWN:
            yield f"cacti/{table.prefix.lower()}.xml", query(table, columns)


def field(name, title, direction, oid, source="value"):
    return f"""    <{name}>
      <name>{title}</name>
      <method>walk</method>
      <source>{source}</source>
      <direction>{direction}</direction>
      <oid>.{oid}</oid>
    </{name}>"""


def query(table, columns):
    parts = r"\.[0-9]+" * (len(table.index) - 1)
    # The index is the end of the OID: the instance, and what else the table is indexed by.
    pattern = rf"OID/REGEXP:.*\.([0-9]+{parts})$"
    name = table.row_name.oid
    fields = [field("rowIndex", "Index", "input", name, pattern), field("rowName", "Name", "input", name)]
    for o in columns:
        fields.append(field(o.name, o.name.removeprefix(table.prefix) + (f" ({o.units})" if o.units else ""), "output", o.oid))
    body = "\n".join(fields)
    return f"""<!-- {HEAD} -->
<interface>
  <name>Postfix: {SHOWN[table.name]}</name>
  <description>{table.name} of POSTFIX-MIB</description>
  <oid_index>.{name}</oid_index>
  <oid_index_parse>{pattern}</oid_index_parse>
  <index_order>rowName:rowIndex</index_order>
  <index_order_type>alphabetic</index_order_type>
  <index_title_format>|chosen_order_field|</index_title_format>
  <fields>
{body}
  </fields>
</interface>
"""
