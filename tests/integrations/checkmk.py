"""Runs integrations/checkmk's plug-in on a walk, with stand-ins for Checkmk's check API: checkmk.py PLUGIN WALK."""

import enum
import importlib.util
import sys
import types


class State(enum.IntEnum):
    OK, WARN, CRIT, UNKNOWN = range(4)


class Made:
    def __init__(self, *positional, **named):
        self.__dict__.update(named)
        self.positional = positional


def check_levels(value, *, levels_upper, metric_name, label, render_func):
    assert isinstance(value, int) and levels_upper[0] in ("fixed", "no_levels") and metric_name.isidentifier()
    state = State.OK
    if levels_upper[0] == "fixed":
        warn, crit = levels_upper[1]
        state = State.CRIT if value >= crit else State.WARN if value >= warn else State.OK
    yield Made(state=state, summary=f"{label}: {render_func(value)}")


api = types.ModuleType("cmk.agent_based.v2")
for name in ("CheckPlugin", "Result", "Service", "SimpleSNMPSection", "SNMPTree"):
    setattr(api, name, type(name, (Made,), {}))
api.State, api.check_levels, api.exists, api.render = State, check_levels, lambda oid: oid, Made(timespan=str)
sys.modules |= {"cmk": types.ModuleType("cmk"), "cmk.agent_based": types.ModuleType("cmk.agent_based"), "cmk.agent_based.v2": api}
spec = importlib.util.spec_from_file_location("plugin", sys.argv[1])
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)

walked = dict(line.rstrip("\n").split("\t", 1) for line in open(sys.argv[2]))
assert plugin.DETECT.lstrip(".") in walked, plugin.DETECT


def table(tree):
    """As Checkmk hands it over: a row for each index, a column for each OID, empty where it is missing."""
    base = tree.base.lstrip(".")
    columns = [{oid.removeprefix(f"{base}.{end}."): value for oid, value in walked.items() if oid.startswith(f"{base}.{end}.")} for end in tree.oids]
    return [[column.get(index, "") for column in columns] for index in columns[0]]


sections = {v.name: v for v in vars(plugin).values() if isinstance(v, api.SimpleSNMPSection)}
checks = {v.name: v for v in vars(plugin).values() if isinstance(v, api.CheckPlugin)}
assert sections.keys() == checks.keys(), (sections.keys(), checks.keys())
seen = {}
for name, section in sections.items():
    parsed = section.parse_function(table(section.fetch))
    if parsed is None:
        continue
    check = checks[name]
    for service in check.discovery_function(parsed):
        arguments = {}
        if "%s" in check.service_name:
            arguments["item"] = service.item
        if hasattr(check, "check_default_parameters"):
            arguments["params"] = check.check_default_parameters
        results = list(check.check_function(section=parsed, **arguments))
        title = check.service_name.replace("%s", getattr(service, "item", ""))
        assert results and title not in seen, title
        seen[title] = max(result.state for result in results)
    # What vanished yields nothing, which Checkmk calls UNKNOWN.
    if "%s" in check.service_name:
        gone = {"item": "nobody"} | ({"params": check.check_default_parameters} if hasattr(check, "check_default_parameters") else {})
        assert not list(check.check_function(section=parsed, **gone))
for title in ("Postfix health", "Postfix instance postfix", "Postfix instance postfix-out", "Postfix queue postfix-out deferred", "Postfix source postfix log", "Postfix daemon postfix-out qmgr"):
    assert seen.get(title) == State.OK, (title, seen)
stopped = plugin.state_check("postfixInstanceState")("x", {"x": ["2"]})
assert [r.state for r in stopped] == [State.CRIT]
assert [r.state for r in plugin.state_check("postfixSourceStatus")("x", {"x": ["77"]})] == [State.UNKNOWN]
assert [r.state for r in plugin.check_queue("x", {"messages": ("fixed", (1000, 5000)), "age": ("no_levels", None)}, {"x": ["1500", "9"]})] == [State.WARN, State.OK]
print(len(seen), "services")
