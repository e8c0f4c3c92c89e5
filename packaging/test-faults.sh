# Read by test.sh: what goes wrong on purpose. Each time `check` says so in the right words, the commands below its line are run as
# they stand, and then `check` and SNMP say that all is well.

check() { inside 'postfix-agentx check' 2>&1; }
says() { grep -qE -- "^WRONG .*$1" <<<"$(check || true)"; }
is_well() { inside 'postfix-agentx check' >/dev/null && healthy; }

# The commands below the lines that begin with WRONG.
remedies() { (check || true) | awk '/^WRONG/ { wrong = 1; next } /^[a-zA-Z]/ { wrong = 0 } wrong && /^ {11}/ { print substr($0, 12) }'; }

fault() { # fault WHAT PATTERN SETUP: broken, told, mended by the words
    local commands round
    inside "$3" >/dev/null 2>&1 || true
    wait_for "check to tell: $1" 45 says "$2"
    # One remedy can bring the next fault to light: no snippet, then no view.
    for round in 1 2 3; do
        commands=$(remedies)
        [[ -n $commands ]] || break
        [[ -z ${VERBOSE-} ]] || printf '%s\n' "$commands"
        inside "set -e; $commands" >/dev/null 2>&1 || fail "$1: these commands fail: $commands"
        other "$commands"
        inside 'postfix-agentx check' >/dev/null 2>&1 && break
    done
    wait_for "all to be well after: $1" 120 is_well
    say "broken and mended: $1 ($(wc -l <<<"$commands") commands at last)"
}
# Until check says another thing, or all is well; a while at most.
other() {
    local until=$((SECONDS + 20))
    while ((SECONDS < until)) && [[ $(remedies) == "$1" ]]; do read -rt 0.5 <> <(:) || true; done
}

told() { # told WHAT PATTERN SETUP UNDO: broken, told, and mended by hand: what to do is no command
    inside "$3" >/dev/null 2>&1 || true
    wait_for "check to tell: $1" 45 says "$2"
    inside "$4" >/dev/null 2>&1
    wait_for "all to be well after: $1" 120 is_well
    say "broken and told: $1"
}

faults() {
    local restart='systemctl restart snmpd' own=/etc/snmp/snmpd.conf.d/postfix-agentx-local.conf
    wait_for 'all to be well' 60 is_well
    # It is restarted more often than systemd likes.
    inside 'mkdir -p /etc/systemd/system/snmpd.service.d; printf "[Unit]\nStartLimitIntervalSec=0\n" >/etc/systemd/system/snmpd.service.d/test.conf; systemctl daemon-reload'
    inside "cp --remove-destination /usr/share/postfix-agentx/snmpd.conf /root/snippet"
    # What a file in the place of the package's link lacks.
    fault 'agentXPerms missing' 'may not (use|enter) ' "rm $snippet; sed /^agentXPerms/d /root/snippet >$snippet; $restart"
    fault 'no lines for snmpd at all' 'may not (use|enter) ' "rm -f $snippet $own; $restart"
    fault 'a view that hides us' 'SNMP: .*the view systemonly' "sed '/^view/d' /root/snippet >$snippet; $restart"
    inside "rm -f $snippet $own; ln -s /usr/share/postfix-agentx/snmpd.conf $snippet; $restart"
    fault 'snmpd stopped' 'snmpd: nobody listens' 'systemctl stop snmpd'
    fault 'Postfix stopped' 'Postfix is stopped' 'systemctl stop postfix'
    drop_in groups $'[Service]\nSupplementaryGroups='
    fault 'neither in postdrop nor in adm' 'queue: .*permission denied' 'systemctl restart postfix-agentx'
    inside 'rm -r /etc/systemd/system/postfix-agentx.service.d; systemctl daemon-reload; for group in postdrop systemd-journal adm; do gpasswd -d postfix-agentx $group; done; systemctl restart postfix-agentx' >/dev/null 2>&1 || true
    wait_for 'all to be well' 60 is_well

    # No log anywhere: never 0 for "could not look".
    told 'no journal and no file' 'log: .*no log found' \
        'mkdir -p /etc/systemd/journald.conf.d; printf "[Journal]\nStorage=none\n" >/etc/systemd/journald.conf.d/x.conf; systemctl restart systemd-journald; rm -rf /run/log/journal/* /var/log/journal/*; systemctl restart postfix-agentx' \
        'rm /etc/systemd/journald.conf.d/x.conf; systemctl restart systemd-journald; systemctl restart postfix-agentx'
    # A file that may not be read, and the journal that may: that one, and it is said.
    inside 'systemctl stop postfix-agentx; rm /var/lib/postfix-agentx/log; touch /var/log/maillog; chmod 0600 /var/log/maillog; systemctl start postfix-agentx'
    wait_for 'the journal instead of the file' 60 is_well
    has 'the journal instead' '^note +postfix log: /var/log/maillog may not be read' "$(check)"
    inside 'rm /var/log/maillog'
    say 'the journal is read where the file may not be'
    inside 'apt-get install -y -qq rsyslog' >/dev/null 2>&1 || fail 'rsyslog'
    inside 'logger -p mail.info -t postfix/x y; systemctl stop postfix-agentx; rm /var/lib/postfix-agentx/log; echo "log: { from: start }" >/dev/null'
    wait_for 'a mail.log' 20 inside '[ -s /var/log/mail.log ]'
    # What is in the journal is stayed with only while the state says so.
    inside 'systemctl start postfix-agentx'
    wait_for 'all to be well with rsyslog' 60 is_well
    has 'the log' 'log: file, /var/log/mail.log' "$(check)"
    fault 'a log rotated to 0600' 'mail.log: permission denied' \
        'mv /var/log/mail.log /var/log/mail.log.1; install -m 600 -o root -g root /dev/null /var/log/mail.log; systemctl kill -s HUP rsyslog; logger -p mail.info -t postfix/x y'
    inside 'systemctl stop postfix-agentx; postconf -e maillog_file=/var/log/postfix.log 2>/dev/null; postfix stop; systemctl restart postfix; sendmail root </dev/null; systemctl start postfix-agentx' >/dev/null 2>&1 || true
    fault 'maillog_file, which is root'"'"'s alone' 'postfix.log: permission denied' 'chmod 0600 /var/log/postfix.log; systemctl restart postfix-agentx'
    inside 'postconf -X maillog_file maillog_file_permissions; postconf -e maillog_file= 2>/dev/null; systemctl restart postfix; systemctl restart postfix-agentx' >/dev/null 2>&1 || true
    wait_for 'all to be well' 120 is_well

    # Configuration.
    fault 'a configuration that only root may read' 'Permission denied' 'chmod 0600 /etc/postfix-agentx/config.yaml; chown root:root /etc/postfix-agentx/config.yaml'
    local save='cp /etc/postfix-agentx/config.yaml /root/config.yaml;' back='cp /root/config.yaml /etc/postfix-agentx/config.yaml; systemctl reset-failed postfix-agentx; systemctl restart postfix-agentx'
    for wrong in 'privcy: true|unknown field|:[0-9]+:[0-9]+' $'log: {}\nlog: {}|duplicate|twice' 'agentx: { priority: none }|:[0-9]+:[0-9]+'; do
        inside "$save cat >>/etc/postfix-agentx/config.yaml" <<<"${wrong%%|*}"
        has "a wrong configuration" "${wrong#*|}" "$(check || true)"
        is 'its exit status' 2 "$(inside 'postfix-agentx check >/dev/null 2>&1; echo $?')"
        inside "$back"
    done
    say 'wrong configuration: the place, and exit status 2'
    # A root that is somebody else's.
    told 'a root on somebody else'"'"'s subtree' "which is not ours|already has" \
        "$save echo 'agentx: { root: 1.3.6.1.2.1.1 }' >>/etc/postfix-agentx/config.yaml; systemctl restart postfix-agentx" "$back"

    # State.
    fault 'a damaged state' 'log was damaged' \
        'systemctl stop postfix-agentx; echo nonsense >/var/lib/postfix-agentx/log; chown postfix-agentx: /var/lib/postfix-agentx/log; systemctl start postfix-agentx'
    inside 'systemctl stop postfix-agentx; chown -R root:root /var/lib/postfix-agentx'
    says 'must belong to' || fail 'a state directory of somebody else'
    inside "$(remedies)"
    inside 'systemctl start postfix-agentx'
    wait_for 'all to be well' 60 is_well
    say 'broken and mended: a state directory of somebody else'
    told 'a full disk' 'No space left' \
        'systemctl stop postfix-agentx; mount -t tmpfs -o size=64k,uid=$(id -u postfix-agentx),mode=750 tmpfs /var/lib/postfix-agentx; dd if=/dev/zero of=/var/lib/postfix-agentx/full bs=64k count=1; systemctl start postfix-agentx' \
        'rm /var/lib/postfix-agentx/full; systemctl stop postfix-agentx; umount /var/lib/postfix-agentx; systemctl start postfix-agentx'

    # A second agent, and a second instance.
    told 'a second agent' 'run with the same snmpd|in use by process' \
        'install -d -o postfix-agentx /tmp/second; printf "state_directory: /tmp/second\n" >/tmp/second.yaml; systemd-run -q --unit second -p User=postfix-agentx -p SupplementaryGroups="postdrop adm" postfix-agentx run -c /tmp/second.yaml' \
        'systemctl stop second'
    inside 'postmulti -e init; postmulti -I postfix-out -e create; postmulti -i postfix-out -x postconf -e inet_interfaces= master_service_disable=inet syslog_name=postfix-out authorized_submit_users=' >/dev/null 2>&1 || true
    wait_for 'a disabled instance is quiet' 60 is_well
    fault 'a second instance that is stopped' 'postfix-out: Postfix is stopped|postfix-out' 'postmulti -i postfix-out -e enable'
    inside 'postmulti -i postfix-out -p stop; postmulti -i postfix-out -e disable; postmulti -i postfix-out -e destroy' >/dev/null 2>&1 || true
    wait_for 'all to be well' 90 is_well
}
