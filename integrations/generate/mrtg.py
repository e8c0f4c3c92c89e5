"""MRTG: pairs of numbers. Never `unknaszero`: an unknown queue is not an empty one."""

from choice import HEAD

PAIRS = [
    ("postfix-health", "postfixHealth", "postfixSourcesFailing", "gauge", "health (1 ok, 2 warning, 3 critical, 4 unknown) and sources that fail", "health", "sources"),
    ("postfix-mail", "postfixTotalReceived", "postfixTotalDelivered", "perminute", "received and delivered", "received", "delivered"),
    ("postfix-refused", "postfixTotalBounced", "postfixTotalRejectsPermanent", "perminute", "bounced and refused", "bounced", "refused"),
    ("postfix-queue", "postfixTotalDeferred", "postfixTotalActive", "gauge", "deferred and active", "deferred", "active"),
    ("postfix-age", "postfixTotalOldestAge", "postfixTotalDeferredOldestAge", "gauge", "oldest mail", "maildrop and incoming", "deferred"),
]
# What the first number may be before ThreshProgI is run.
LIMITS = {"postfix-health": 1, "postfix-queue": 1000, "postfix-age": 600}


def configuration(mib):
    text = f"""# {HEAD}
#
# Numeric OIDs; replace public@localhost by community@host. MRTG raises no alarm on what is missing: it writes an unknown and says so on
# standard error, which cron mails: let it (no 2>/dev/null). Directories and the program to run are yours.
WorkDir: /var/www/html/mrtg
ThreshDir: /var/lib/mrtg
LogFormat: rrdtool
EnableIPv6: no
"""
    for target, first, second, how, title, one, two in PAIRS:
        unit = "a minute" if how == "perminute" else mib[first].units or "state"
        text += f"""
Target[{target}]: {mib[first].oid}.0&{mib[second].oid}.0:public@localhost::::2
MaxBytes[{target}]: 4294967295
Options[{target}]: growright, {how}, {'' if how == 'perminute' else 'integer, '}nobanner, nopercent
Title[{target}]: Postfix: {title}
PageTop[{target}]: <h1>Postfix: {title}</h1>
YLegend[{target}]: {unit}
LegendI[{target}]: {one}
LegendO[{target}]: {two}
"""
        if target in LIMITS:
            text += f"ThreshMaxI[{target}]: {LIMITS[target]}\nThreshProgI[{target}]: /usr/local/bin/alarm\nThreshProgOKI[{target}]: /usr/local/bin/alarm-over\n"
    return text
