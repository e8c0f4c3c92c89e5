"""Zabbix: graphs of the host and the dashboards, whose form changed between 6.0 and 7.0."""

COLORS = ("1A7C11", "2774A4", "F63100", "A54F10", "6C59DC", "FC6EA3", "AC8C14")
GRAPHS = [
    ("Postfix: Queues", "STACKED", ["queue[postfixTotalIncoming.0]", "queue[postfixTotalActive.0]", "queue[postfixTotalDeferred.0]", "queue[postfixTotalHold.0]", "queue[postfixTotalMaildrop.0]"]),
    ("Postfix: Mail flow", None, ["mail[postfixTotalReceived.0]", "mail[postfixTotalDelivered.0]", "mail[postfixTotalDeferredMessages.0]", "mail[postfixTotalBounced.0]", "mail[postfixTotalRejectsPermanent.0]", "mail[postfixTotalRejectsTemporary.0]"]),
]


def graphs(identity, template):
    return [
        {"uuid": identity("graph", name), "name": name}
        | ({"type": kind} if kind else {})
        | {"graph_items": [{"sortorder": str(n), "color": COLORS[n], "item": {"host": template, "key": f"postfix.{key}"}} for n, key in enumerate(keys)]}
        for name, kind, keys in GRAPHS
    ]


def widget(version, kind, x, y, w, h, reference, value, title=None):
    new = version != "6.0"
    kinds = {"graph": "GRAPH_CLASSIC", "graphprototype": "GRAPH_PROTOTYPE", "item": "ITEM"}
    scale = 3 if new else 1
    made = {"type": kind if new else kinds[kind]}
    if title:
        made["name"] = title
    made |= {"x": str(x * scale), "y": str(y), "width": str(w * scale), "height": str(h)}
    what, field = {"graph": ("GRAPH", "graphid"), "graphprototype": ("GRAPH_PROTOTYPE", "graphid"), "item": ("ITEM", "itemid")}[kind]
    fields = []
    if kind == "graphprototype":
        fields += [{"type": "INTEGER", "name": "columns", "value": "2"}, {"type": "INTEGER", "name": "rows", "value": "2"}]
    fields.append({"type": what, "name": field + (".0" if new else ""), "value": value})
    if new and kind != "item":
        fields.append({"type": "STRING", "name": "reference", "value": reference})
    return made | {"fields": fields}


def dashboards(version, identity, template, prototypes):
    def graph(name):
        return {"host": template, "name": name}

    def item(key):
        return {"host": template, "key": f"postfix.{key}"}

    overview = [
        widget(version, "item", 0, 0, 6, 3, "", item("health[postfixHealth.0]")),
        widget(version, "item", 6, 0, 18, 3, "", item("health[postfixHealthText.0]")),
        widget(version, "graph", 0, 3, 12, 5, "PFAAA", graph("Postfix: Queues")),
        widget(version, "graph", 12, 3, 12, 5, "PFAAB", graph("Postfix: Mail flow")),
    ]
    pages = [{"name": "Host", "widgets": overview}]
    for number, (title, prototype) in enumerate((
        ("Instances", "Postfix [{#NAME}]: Mail flow"),
        ("Queues", "Postfix queue [{#NAME}]: Messages and oldest"),
        ("Destinations", "Postfix destination [{#NAME}]: Deliveries"),
    )):
        if prototype in prototypes:
            pages.append({"name": title, "widgets": [widget(version, "graphprototype", 0, 0, 24, 12, f"PFB{chr(65 + number) * 2}", graph(prototype))]})
    return [{"uuid": identity("dashboard"), "name": "Postfix", "pages": pages}]

