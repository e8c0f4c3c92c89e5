systemd-sysusers /usr/share/postfix-agentx/sysusers.conf >/dev/null 2>&1 || :
systemd-tmpfiles --create /usr/lib/tmpfiles.d/postfix-agentx.conf >/dev/null 2>&1 || :
if [ "$1" -eq 1 ] && [ -f /etc/postfix-agentx.yaml ]; then
    mv -f /etc/postfix-agentx.yaml /etc/postfix-agentx/config.yaml
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    [ "$1" -eq 1 ] && systemctl preset postfix-agentx.service >/dev/null 2>&1 || :
fi
if [ "$1" -eq 1 ]; then
    echo "postfix-agentx: next, snmpd (see /usr/share/doc/postfix-agentx/README.md), then: systemctl enable --now postfix-agentx"
fi
