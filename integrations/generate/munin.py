"""munin: one plugin over SNMP, with a graph for each subject. What is missing is U, which munin calls unknown."""

from choice import HEAD

GRAPHS = [
    ("postfix_health", "health", "1 ok, 2 warning, 3 critical, 4 unknown", [("health", "postfixHealth", "1:1", "1:2"), ("sources", "postfixSourcesFailing", "0:0", ""), ("instances", "postfixInstancesDown", "", "0:0")]),
    ("postfix_queues", "queues", "messages", [("maildrop", "postfixTotalMaildrop"), ("incoming", "postfixTotalIncoming"), ("active", "postfixTotalActive"), ("deferred", "postfixTotalDeferred", "1000", "5000"), ("hold", "postfixTotalHold")]),
    ("postfix_age", "oldest mail", "seconds", [("incoming", "postfixTotalOldestAge", "600", "3600"), ("deferred", "postfixTotalDeferredOldestAge")]),
    ("postfix_mail", "mail", "messages per ${graph_period}", [("received", "postfixTotalReceived"), ("delivered", "postfixTotalDelivered"), ("deferred", "postfixTotalDeferredMessages"), ("bounced", "postfixTotalBounced"), ("rejected", "postfixTotalRejectsPermanent"), ("putoff", "postfixTotalRejectsTemporary")]),
]

TEXT = """#!/usr/bin/perl -w
# %(head)s
#
# Munin plugin for postfix-agentx over SNMP, from the munin node that asks. Install it as snmp_HOST_postfix; env.community,
# env.version and env.port as for every plugin of Munin::Plugin::SNMP. What is missing is U: unknown, never 0.
#%%# family=snmpauto
#%%# capabilities=snmpconf
use strict;
use Munin::Plugin;
use Munin::Plugin::SNMP;
need_multigraph();

my @graphs = (
%(graphs)s
);

if (defined $ARGV[0] and $ARGV[0] eq 'snmpconf') {
    print "require %(health)s [0-9]\\n";
    exit 0;
}
my ($host) = Munin::Plugin::SNMP->config_session();
if (defined $ARGV[0] and $ARGV[0] eq 'config') {
    print "host_name $host\\n" unless $host eq 'localhost';
    for my $graph (@graphs) {
        print "multigraph $graph->{name}\\ngraph_title Postfix $graph->{title}\\ngraph_vlabel $graph->{unit}\\ngraph_category mail\\ngraph_args --base 1000 -l 0\\n";
        print "graph_period minute\\n" if $graph->{type} eq 'DERIVE';
        for my $field (@{ $graph->{fields} }) {
            my ($name, $oid, $warning, $critical) = @$field;
            print "$name.label $name\\n$name.type $graph->{type}\\n";
            print "$name.min 0\\n" if $graph->{type} eq 'DERIVE';
            print "$name.warning $warning\\n" if $warning;
            print "$name.critical $critical\\n" if $critical;
        }
    }
    exit 0;
}
my $session = Munin::Plugin::SNMP->session();
# A host that is silent is asked once: asking for each field would take longer than munin waits for a plugin.
my $silent = 0;
for my $graph (@graphs) {
    print "multigraph $graph->{name}\\n";
    for my $field (@{ $graph->{fields} }) {
        my $value = $silent ? 'U' : $session->get_single($field->[1]);
        $silent = 1 if ($session->error() || '') =~ /no response/i;
        $value = 'U' unless defined $value and $value =~ /^-?\\d+$/;
        print "$field->[0].value $value\\n";
    }
}
"""


def plugin(mib):
    graphs = []
    for name, title, unit, fields in GRAPHS:
        kind = "DERIVE" if mib[fields[0][1]].counter else "GAUGE"
        rows = ",\n".join("        [" + ", ".join(f"'{part}'" for part in (f[0], f"{mib[f[1]].oid}.0", *f[2:])) + "]" for f in fields)
        graphs.append(f"    {{ name => '{name}', title => '{title}', unit => '{unit}', type => '{kind}', fields => [\n{rows},\n    ] }},")
    return TEXT % {"head": HEAD, "graphs": "\n".join(graphs), "health": f"{mib['postfixHealth'].oid}.0"}
