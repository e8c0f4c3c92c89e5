# Read by test.sh: the unit under a real systemd. What it takes away breaks nothing, and what it promises is kept.

drop_in() { # drop_in NAME TEXT
    inside "mkdir -p /etc/systemd/system/postfix-agentx.service.d; cat >/etc/systemd/system/postfix-agentx.service.d/$1.conf; systemctl daemon-reload" <<<"$2"
}

unit() { # unit SUITE
    local text pid
    is 'its type' notify "$(property Type)"
    is 'its watchdog' 1min "$(property WatchdogUSec)"
    text=$(inside 'systemd-analyze security postfix-agentx --no-pager | tail -1')
    has 'its exposure' ' (0\.[0-9]|1\.[0-3]) OK' "$text"
    pid=$(property MainPID)
    text=$(inside "cat /proc/$pid/status; cat /proc/$pid/limits")
    has 'its user' "^Uid:[[:space:]]$(inside 'id -u postfix-agentx')" "$text"
    has 'its capabilities' '^CapPrm:[[:space:]]0+$' "$text"
    has 'no core dump' '^Max core file size +0 +0' "$text"

    # snmpd goes and comes back.
    inside 'systemctl stop snmpd'
    wait_for 'its word' 10 waits
    inside 'systemctl start snmpd'
    wait_for 'the service' 10 served
    inside 'systemctl stop postfix-agentx snmpd'
    pid=$SECONDS
    inside 'systemctl start postfix-agentx'
    ((SECONDS - pid < 15)) || fail 'the start waits for snmpd'
    waits || fail "its word without snmpd: $(property StatusText)"
    inside 'systemctl start snmpd'
    wait_for 'the service' 10 served
    wait_for 'postfixHealth ok' 60 healthy

    # Postfix goes and comes back.
    inside 'systemctl stop postfix'
    wait_for 'critical' 60 inside "[ \"\$(snmpget -v2c -c public -Oqv 127.0.0.1 $root.1.1.1.1.0)\" = 3 ]"
    wait_for 'systemctl status' 5 inside 'systemctl show -P StatusText postfix-agentx | grep -q "Postfix is stopped"'
    inside 'systemctl start postfix'
    wait_for 'postfixHealth ok' 90 healthy

    # Reloads: taken, refused, and waited for where systemd can.
    inside 'systemctl reload postfix-agentx'
    wait_for 'the reload' 10 inside 'journalctl -u postfix-agentx -o cat | grep -q "configuration taken over"'
    if [[ $1 != bookworm ]]; then
        drop_in reload "$(cat packaging/notify-reload.conf)"
        inside 'printf "privcy: true\n" >/etc/postfix-agentx/config.yaml.new; cp /etc/postfix-agentx/config.yaml /root/config.yaml; cat /etc/postfix-agentx/config.yaml.new >>/etc/postfix-agentx/config.yaml; systemctl reload postfix-agentx'
        has 'postfixHealthText' 'SIGHUP: .*the old configuration stays' "$(get 1.1.1.2.0)"
        inside 'cp /root/config.yaml /etc/postfix-agentx/config.yaml; rm /etc/postfix-agentx/config.yaml.new; systemctl reload postfix-agentx'
        wait_for 'postfixHealth ok' 60 healthy
        inside 'rm /etc/systemd/system/postfix-agentx.service.d/reload.conf; systemctl daemon-reload'
        say 'systemctl reload waits'
    fi

    # Whoever stands still is started again.
    drop_in watchdog $'[Service]\nWatchdogSec=2s'
    inside 'systemctl restart postfix-agentx'
    wait_for 'the service' 20 served
    inside "kill -STOP $(property MainPID)"
    wait_for 'the watchdog' 30 inside '[ "$(systemctl show -P NRestarts postfix-agentx)" = 1 ]'
    wait_for 'the service' 20 served
    inside 'rm /etc/systemd/system/postfix-agentx.service.d/watchdog.conf; systemctl daemon-reload'

    # A wrong configuration is not tried again.
    inside 'cp /etc/postfix-agentx/config.yaml /root/config.yaml; echo "privcy: true" >>/etc/postfix-agentx/config.yaml; systemctl restart postfix-agentx' 2>/dev/null || true
    wait_for 'its end' 20 inside '[ "$(systemctl show -P ActiveState postfix-agentx)" = failed ]'
    is 'its exit status' 2 "$(property ExecMainStatus)"
    is 'restarts' 0 "$(property NRestarts)"
    inside 'cp /root/config.yaml /etc/postfix-agentx/config.yaml; systemctl reset-failed postfix-agentx; systemctl start postfix-agentx'
    wait_for 'the service' 20 served

    # The drop-ins: the spool instead of showq, and probes, which need the network and a credential.
    drop_in spool "$(cat packaging/spool.conf)"
    drop_in network "$(cat packaging/network.conf)"
    inside 'systemctl restart postfix-agentx'
    wait_for 'the spool' 60 inside "snmpwalk -v2c -c public -Oqv 127.0.0.1 $root.1.1.3.1.3 | grep -q spool"
    inside 'cp /etc/postfix-agentx/config.yaml /root/config.yaml; printf "probes:\n  - { name: local, kind: smtp, smtp: { host: 127.0.0.1, port: 25 } }\n" >>/etc/postfix-agentx/config.yaml; systemctl reload postfix-agentx'
    wait_for 'a probe' 90 inside 'snmpwalk -v2c -c public -m POSTFIX-MIB -Oqv localhost postfixProbeStatus | grep -q up'
    inside 'cp /root/config.yaml /etc/postfix-agentx/config.yaml; rm -r /etc/systemd/system/postfix-agentx.service.d; systemctl daemon-reload; systemctl restart postfix-agentx'
    wait_for 'the service' 20 served
    wait_for 'postfixHealth ok' 60 healthy

    text=$(date +%s%N)
    inside 'systemctl stop postfix-agentx'
    ((($(date +%s%N) - text) / 1000000 < 3000)) || fail 'the stop takes longer than 2 s'
    is 'how it ended' success "$(property Result)"
    inside 'systemctl start postfix-agentx'
    wait_for 'the service' 20 served
    wait_for 'postfixHealth ok' 60 healthy
    say 'the unit: ready, status, watchdog, reload, stop, restarts of snmpd and Postfix, drop-ins'
}

waits() { [[ $(property ActiveState) == active && $(property StatusText) == waits\ for\ snmpd* ]]; }
