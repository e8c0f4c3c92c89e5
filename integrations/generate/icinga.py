"""Icinga 2: check_snmp of monitoring-plugins, and `postfix-agentx status --nagios` for whoever has it on the poller."""

from choice import HEAD, THRESHOLDS

# Name of the service, object, unit; thresholds are choice.THRESHOLDS.
LEVELS = [
    ("sources", "postfixSourcesFailing", ""),
    ("instances", "postfixInstancesDown", ""),
    ("deferred", "postfixTotalDeferred", "messages"),
    ("oldest", "postfixTotalOldestAge", "s"),
]
RATES = [("received", "postfixTotalReceived"), ("delivered", "postfixTotalDelivered"), ("deferrals", "postfixTotalDeferrals"), ("bounced", "postfixTotalBounced"), ("rejected", "postfixTotalRejectsPermanent")]

TEXT = """/* {head}

   Postfix through postfix-agentx. Numeric OIDs: no MIB file is needed on the poller.
   Host: vars.postfix_snmp = true; vars.snmp_community, vars.snmp_port where they are not public and 161;
   vars.postfix_instances = {{ "postfix" = 1, "postfix-out" = 2 }} (names and postfixInstanceIndex, which never moves) for services by instance. */

object CheckCommand "postfix-snmp" {{
  command = [ PluginDir + "/check_snmp" ]
  arguments = {{
    "-H" = "$postfix_address$"
    "-p" = "$postfix_port$"
    "-P" = "2c"
    "-C" = "$postfix_community$"
    "-o" = "$postfix_oid$"
    "-w" = "$postfix_warn$"
    "-c" = "$postfix_crit$"
    "-l" = "$postfix_label$"
    "-u" = "$postfix_unit$"
    "--rate" = {{ set_if = "$postfix_rate$" }}
    "--rate-multiplier" = {{ set_if = "$postfix_rate$", value = "60" }}
    "-t" = "$postfix_timeout$"
    "-e" = "$postfix_retries$"
  }}
  vars.postfix_address = "$address$"
  vars.postfix_port = "$snmp_port$"
  vars.postfix_community = "$snmp_community$"
  vars.snmp_port = 161
  vars.snmp_community = "public"
  vars.postfix_rate = false
  vars.postfix_timeout = 10
  vars.postfix_retries = 2
}}

template Service "postfix-service" {{
  check_command = "postfix-snmp"
  check_interval = 1m
  retry_interval = 30s
  max_check_attempts = 3
}}

/* The one that has to notify, on UNKNOWN too: 1 ok, 2 warning, 3 critical, 4 unknown; the second OID is the text that says why.
   Nobody answers: CRITICAL. The agent is missing: UNKNOWN, which check_snmp says by itself. */
apply Service "postfix health" {{
  import "postfix-service"
  vars.postfix_oid = "{health},{text}"
  vars.postfix_warn = "1:1,"
  vars.postfix_crit = "1:2,"
  vars.postfix_label = "postfixHealth"
  assign where host.vars.postfix_snmp
}}

/* Levels. A level whose source cannot be read is UNKNOWN, never 0. */
const PostfixLevels = {{
{levels}
}}
for (name => level in PostfixLevels) {{
  apply Service "postfix " + name use (level, name) {{
    import "postfix-service"
    vars.postfix_oid = level.oid
    vars.postfix_warn = level.warn
    vars.postfix_crit = level.crit
    vars.postfix_label = name
    vars.postfix_unit = level.unit
    vars.postfix_total = level.total
    assign where host.vars.postfix_snmp
  }}
}}

/* Per minute. check_snmp keeps the last value in its state directory, which has to be writable. */
const PostfixRates = {{
{rates}
}}
for (name => oid in PostfixRates) {{
  apply Service "postfix " + name use (oid, name) {{
    import "postfix-service"
    vars.postfix_oid = oid
    vars.postfix_rate = true
    vars.postfix_total = true
    vars.postfix_label = name
    assign where host.vars.postfix_snmp
  }}
}}

/* By instance: does it run, and what is deferred. */
apply Service "postfix state " for (name => index in host.vars.postfix_instances) {{
  import "postfix-service"
  vars.postfix_oid = "{state}." + string(index)
  vars.postfix_warn = "1:1"
  vars.postfix_crit = "1:1"
  vars.postfix_label = name
  assign where host.vars.postfix_snmp
}}
apply Service "postfix deferred " for (name => index in host.vars.postfix_instances) {{
  import "postfix-service"
  vars.postfix_instance = name
  vars.postfix_oid = "{queue}." + string(index) + ".4"
  vars.postfix_warn = "{deferred[0]}"
  vars.postfix_crit = "{deferred[1]}"
  vars.postfix_label = name
  vars.postfix_unit = "messages"
  assign where host.vars.postfix_snmp
}}

/* One fault is one alarm. What follows is UNKNOWN, not 0, and is not told beside its cause: everything while nothing is known of
   Postfix; the host's levels while an instance does not run or a source cannot be read, as they are totals over all instances;
   an instance's level while it does not run. */
template Dependency "postfix-cause" {{
  states = [ OK ]
  ignore_soft_states = false
  disable_notifications = true
}}
apply Dependency "postfix health" to Service {{
  import "postfix-cause"
  parent_service_name = "postfix health"
  states = [ OK, Warning, Critical ]
  assign where host.vars.postfix_snmp && service.check_command == "postfix-snmp" && service.name != "postfix health"
}}
apply Dependency "postfix instances" to Service {{
  import "postfix-cause"
  parent_service_name = "postfix instances"
  assign where service.vars.postfix_total || service.name == "postfix sources"
}}
apply Dependency "postfix sources" to Service {{
  import "postfix-cause"
  parent_service_name = "postfix sources"
  assign where service.vars.postfix_total
}}
apply Dependency "postfix state" to Service {{
  import "postfix-cause"
  parent_service_name = "postfix state " + service.vars.postfix_instance
  assign where service.vars.postfix_instance
}}

/* All of it in one check, where postfix-agentx itself is installed on the poller: the whole of a host as `status` judges it.
   assign where host.vars.postfix_status */
object CheckCommand "postfix-status" {{
  command = [ "/usr/bin/postfix-agentx", "status", "--nagios", "$address$:$snmp_port$" ]
  // Not as an argument, which everybody on the poller could read.
  env.POSTFIX_AGENTX_COMMUNITY = "$snmp_community$"
  vars.snmp_port = 161
  vars.snmp_community = "public"
}}
apply Service "postfix" {{
  check_command = "postfix-status"
  check_interval = 1m
  retry_interval = 30s
  max_check_attempts = 3
  assign where host.vars.postfix_status
}}
"""


def text(value):
    return "" if value is None else str(value)


def configuration(mib):
    def oid(name):
        return f".{mib[name].oid}.0"

    def limits(name):
        low, high = THRESHOLDS[name]
        # "14:" alarms below 14; "1000" above 1000.
        falling = name.endswith("DaysLeft")
        return (f"{low}:" if falling else text(low)), (f"{high}:" if falling else text(high))

    levels = []
    for name, o, unit in LEVELS:
        if o in mib:
            warn, crit = limits(o)
            levels.append(f'  "{name}" = {{ oid = "{oid(o)}", warn = "{warn}", crit = "{crit}", unit = "{unit}", total = {str("Total" in o).lower()} }}')
    rates = [f'  "{name}" = "{oid(o)}"' for name, o in RATES]
    return TEXT.format(
        head=HEAD, health=oid("postfixHealth"), text=oid("postfixHealthText"), levels="\n".join(levels), rates="\n".join(rates),
        state="." + mib["postfixInstanceState"].oid, queue="." + mib["postfixQueueMessages"].oid, deferred=THRESHOLDS["postfixTotalDeferred"],
    )
