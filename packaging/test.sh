#!/bin/bash
# Installs the packages of target/packages from nothing, under a real systemd, and goes through their life: what an administrator
# would see on a fresh Debian, and with rpm.
#
#   packaging/test.sh [bookworm] [trixie] [rpm]      all of them where none is named
#   PARTS="upgrade leave" packaging/test.sh trixie   only these after the installation
#
# Each runs in a tree of its own, booted in namespaces of its own (mounts, processes, network, cgroups): nothing of it is seen outside,
# and when its init is gone everything is. Needs root, debootstrap and Debian's archive; trees are kept in target/package-test/*.base.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
work=${CARGO_TARGET_DIR:-$PWD/target}/package-test
packages=${CARGO_TARGET_DIR:-$PWD/target}/packages
mirror=${MIRROR:-http://deb.debian.org/debian}
mkdir -p "$work"
root=1.3.6.1.4.1.8072.9999.9999.25

fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

# A fresh Debian with systemd, and in its cache what the packages pull in, so that nothing has to be fetched once it runs.
base() { # base SUITE
    local tree=$work/$1.base
    [[ -e $tree.done ]] && return
    rm -rf "$tree"
    say "$1: debootstrap"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates "$1" "$tree" "$mirror" >"$tree.log" 2>&1 || fail "see $tree.log"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    quiet "$tree" 'apt-get -qq update
        apt-get -qq install -y --no-install-recommends snmp lldpd iproute2 procps rpm
        apt-get -qq install -y --download-only snmpd postfix rsyslog
        cd /root && apt-get -qq download erlang-snmp' || fail "see $tree.log"
    touch "$tree.done"
}

# Commands in a tree that does not run; no daemon is started.
quiet() { # quiet TREE COMMANDS
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
    unshare -mpf --kill-child --mount-proc="$1/proc" chroot "$1" /bin/sh -ec "export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin; $2" >>"$1.log" 2>&1
    rm -f "$1/usr/sbin/policy-rc.d"
}

boot() { # boot NAME SUITE: a tree of its own, with its systemd running
    tree=$work/$1
    rm -rf "$tree"
    cp -a --reflink=auto "$work/$2.base" "$tree"
    cp "$packages"/postfix-agentx[_-]*.{deb,rpm} "$tree/root/" 2>/dev/null || true
    : >"$tree/etc/machine-id"
    cgroups=$work/cgroup
    mkdir -p "$cgroups"
    mountpoint -q "$cgroups" || mount -t cgroup2 none "$cgroups"
    cgroup=$cgroups/postfix-agentx-test-$$
    mkdir -p "$cgroup"
    (
        echo "$BASHPID" >"$cgroup/cgroup.procs"
        # What pid 1 of the namespace is given; --kill-child ends it, and with it all, should this script be killed.
        exec unshare -m -p -f -u -i -n -C --kill-child bash -ec '
            tree=$1
            mount --make-rprivate /
            mount --bind "$tree" "$tree"
            mount -t proc proc "$tree/proc"
            mount -t sysfs -o ro sysfs "$tree/sys"
            mount -t cgroup2 none "$tree/sys/fs/cgroup"
            mount -t tmpfs -o mode=755 tmpfs "$tree/run"
            mount -t tmpfs tmpfs "$tree/tmp"
            mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
            for device in null zero full random urandom tty; do cp -a /dev/$device "$tree/dev/"; done
            mkdir "$tree/dev/pts" "$tree/dev/shm"
            mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
            ln -s pts/ptmx "$tree/dev/ptmx"
            ln -s /proc/self/fd "$tree/dev/fd"
            ip link set lo up
            hostname mail.example
            exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$tree" /lib/systemd/systemd
        ' boot "$tree"
    ) >"$tree.console" 2>&1 &
    outer=$!
    init=
    wait_for "systemd of $1" 30 find_init
    wait_for "the boot of $1" 60 inside 'systemctl is-system-running | grep -qE "running|degraded"'
}

find_init() { init=$(pgrep -P "$outer" -x systemd); }

inside() { # inside COMMANDS: in the tree that was booted, as root
    nsenter -t "$init" -m -p -u -i -n -C -r -w /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
        DEBIAN_FRONTEND=noninteractive /bin/sh -c "$1"
}

end() { # ends what runs, and takes the tree away
    [[ -n ${init:-} ]] && kill -KILL "$init" 2>/dev/null || true
    [[ -n ${outer:-} ]] && wait "$outer" 2>/dev/null || true
    init='' outer=''
    if [[ -n ${cgroup:-} && -d $cgroup ]]; then
        wait_for "the end of its processes" 20 no_process
        find "$cgroup" -depth -type d -exec rmdir {} +
    fi
    if [[ -n ${cgroups:-} ]] && mountpoint -q "$cgroups"; then umount "$cgroups"; fi
    [[ -z ${tree:-} || -n ${KEEP:-} ]] || rm -rf "$tree"
}
no_process() { [[ $(find "$cgroup" -name cgroup.procs -exec cat {} +) == '' ]]; }
trap 'end || true' EXIT
trap 'echo "FAILED: ${BASH_SOURCE[0]}:$LINENO: $BASH_COMMAND" >&2' ERR

wait_for() { # wait_for WHAT SECONDS COMMAND…
    local what=$1 until=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || { "$@" || true; fail "waited in vain for $what"; }
        read -rt 0.2 <> <(:) || true
    done
}

is() { # is WHAT WANTED FOUND
    [[ $2 == "$3" ]] || fail "$1: wanted $2, found $3"
}
has() { # has WHAT PATTERN TEXT
    grep -qE -- "$2" <<<"$3" || fail "$1: no $2 in: $3"
}
property() { inside "systemctl show -P $1 ${2:-postfix-agentx}"; }
get() { inside "snmpget -v2c -c public -Oqv 127.0.0.1 $root.$1"; }
healthy() { [[ $(get 1.1.1.1.0) == 1 ]]; }
served() { [[ $(property ActiveState) == active && $(property StatusText) == serves\ through\ snmpd* ]]; }
starts_of_snmpd() { inside 'journalctl -u snmpd -o cat | grep -c "^Started snmpd" || true'; }
mail() { inside 'for n in 1 2 3; do printf "Subject: $n\n\nx\n" | sendmail root@localhost; done'; }
named() { inside "snmpget -v2c -c public -Oqv -m POSTFIX-MIB 127.0.0.1 $1"; }
received() { named postfixTotalReceived.0 | grep -oE '^[0-9]+'; }
has_mail() { (($(received) >= 3)); }

snippet=/etc/snmp/snmpd.conf.d/postfix-agentx.conf

source packaging/test-unit.sh
source packaging/test-faults.sh

deb() { # deb SUITE
    base "$1"
    boot "$1" "$1"
    inside 'cd /; find etc usr var opt srv -xdev | sort' >"$work/$1.before"
    local begun=$SECONDS
    say "$1: apt-get install ./postfix-agentx.deb, with snmpd and Postfix"
    inside 'cd /root && apt-get install -y -qq ./postfix-agentx_*.deb' >"$tree.install" 2>&1 || { tail -20 "$tree.install"; fail apt-get; }
    say "$1: installed after $((SECONDS - begun)) s"
    wait_for 'the service' 20 served
    wait_for 'postfixHealth ok' 90 healthy
    say "$1: postfixHealth is ok $((SECONDS - begun)) s after apt-get install began"
    inside "ls -l $snippet" | grep -q -- '-> /usr/share/postfix-agentx/snmpd.conf' || fail "no link at $snippet"
    mail
    named_walk
    inside 'postfix-agentx check' >"$tree.check" || { cat "$tree.check"; fail check; }
    tail -1 "$tree.check"
    neighbour
    local part
    for part in ${PARTS-unit faults upgrade leave}; do "$part" "$1"; done
    end
    say "$1: done"
}

# docs/mib.md, "Names": the commands, without the network.
named_walk() {
    local lines
    lines=$(sed -n '/^cd \$(mktemp -d) && apt-get download/,/^done$/p' docs/mib.md)
    [[ -n $lines ]] || fail 'docs/mib.md has changed'
    inside "${lines/apt-get download erlang-snmp/cp /root\/erlang-snmp_*.deb .}" >/dev/null
    inside 'snmpwalk -v2c -c public -m POSTFIX-MIB localhost postfixMIB' >"$tree.walk" 2>"$tree.walk.err"
    has 'the named walk' '^POSTFIX-MIB::postfixQueueMessages' "$(cat "$tree.walk")"
    say "a named walk: $(wc -l <"$tree.walk") objects"
}

# lldpd -x keeps the socket that every subagent expects.
neighbour() {
    inside 'echo "DAEMON_ARGS=\"-x\"" >/etc/default/lldpd; systemctl restart lldpd'
    wait_for 'lldpd beside us' 30 inside 'journalctl -u lldpd -o cat | grep -qi "agentx.*connected\|connected.*agentx\|AgentX subagent connected"'
    healthy || fail 'not healthy beside lldpd'
    say 'lldpd -x is connected beside it'
}

upgrade() {
    wait_for 'received mail' 30 has_mail
    local before after pid
    before=$(received) pid=$(property MainPID)
    inside 'printf "\nlog: { senders: 7 }\n" >>/etc/postfix-agentx/config.yaml; cd /root; dpkg -i postfix-agentx_*.deb' >/dev/null 2>&1
    wait_for 'the service after the upgrade' 20 served
    wait_for 'postfixHealth ok' 60 healthy
    after=$(received)
    ((after >= before)) || fail "counters went back: $before, $after"
    [[ $(property MainPID) != "$pid" ]] || fail 'the daemon was not restarted'
    inside 'grep -q "senders: 7" /etc/postfix-agentx/config.yaml' || fail 'the configuration was overwritten'
    say "upgrade: counters go on ($before, $after), the configuration stays"
    # State of a newer release: refused, kept, and not tried again.
    inside 'systemctl stop postfix-agentx; cd /var/lib/postfix-agentx; LC_ALL=C sed -i "1s/^postfix-agentx log [0-9]*/postfix-agentx log 99/" log; sha256sum log >/root/sum; systemctl start postfix-agentx' 2>/dev/null || true
    wait_for 'the refusal' 20 inside '[ "$(systemctl show -P ActiveState postfix-agentx)" = failed ]'
    is 'its exit status' 2 "$(property ExecMainStatus)"
    is 'restarts' 0 "$(property NRestarts)"
    inside 'cd /var/lib/postfix-agentx; sha256sum -c --status /root/sum' || fail 'the newer state was touched'
    has 'its words' 'written by a newer postfix-agentx' "$(inside 'journalctl -u postfix-agentx -o cat -n 20')"
    inside 'rm /var/lib/postfix-agentx/log; systemctl reset-failed postfix-agentx; systemctl start postfix-agentx'
    wait_for 'the service' 20 served
    say 'downgrade: state of a newer release is refused with status 2 and kept'
}

leave() { # leave SUITE
    local before
    before=$(starts_of_snmpd)
    inside 'apt-get remove -y -qq postfix-agentx' >/dev/null 2>&1
    is 'starts of snmpd at remove' $((before + 1)) "$(starts_of_snmpd)"
    inside "[ ! -e $snippet ] && [ -L $snippet.removed ] && [ -d /var/lib/postfix-agentx ] && [ -f /etc/postfix-agentx/config.yaml ]" || fail 'remove'
    inside 'systemctl is-active -q snmpd' || fail 'snmpd is gone after remove'
    inside 'cd /root && dpkg -i postfix-agentx_*.deb' >/dev/null 2>&1
    is 'starts of snmpd at reinstallation' $((before + 2)) "$(starts_of_snmpd)"
    wait_for 'the service' 20 served
    # A file in the place of the link is an administrator's: put aside and brought back as it is.
    inside "rm $snippet; sed '/^#/d' /usr/share/postfix-agentx/snmpd.conf >$snippet; sha256sum $snippet >/root/sum; apt-get remove -y -qq postfix-agentx; cd /root && dpkg -i postfix-agentx_*.deb && sha256sum -c --status /root/sum" >/dev/null 2>&1 || fail 'an administrator'"'"'s lines'
    inside 'apt-get purge -y -qq postfix-agentx' >/dev/null 2>&1
    inside 'cd /; find etc usr var opt srv -xdev | sort' >"$work/$1.after"
    local left
    left=$(comm -13 "$work/$1.before" "$work/$1.after" | grep postfix-agentx | grep -v '^var/lib/systemd/\|^var/log/journal' || true)
    is 'left after purge' '' "$left"
    say 'remove, reinstallation and purge leave what they should, and snmpd is restarted once each'
}

rpm_package() {
    base bookworm
    boot rpm bookworm
    # snmpd as RHEL ships it: no directory of pieces, another view, no master.
    inside 'apt-get install -y -qq snmpd postfix' >"$tree.install" 2>&1 || fail apt-get
    inside 'rm -rf /etc/snmp/snmpd.conf.d; cat >/etc/snmp/snmpd.conf' <packaging/rpm/snmpd.conf.test
    inside 'systemctl restart snmpd; rpm --initdb; cd /root; rpm -qp --requires postfix-agentx-*.rpm' >"$tree.requires" 2>/dev/null
    has 'what it requires' '^/bin/sh' "$(cat "$tree.requires")"
    is 'what RHEL 8 cannot resolve' '' "$(grep -vE '^(/bin/sh|systemd|config\(postfix-agentx\).*|rpmlib\((CompressedFileNames|PayloadFilesHavePrefix|FileDigests)\).*)$' "$tree.requires" || true)"
    # Debian's database of rpm knows of none of Debian's packages.
    inside 'cd /root && rpm -i --nodeps postfix-agentx-*.rpm' 2>&1 | tee "$tree.rpm"
    inside 'getent passwd postfix-agentx agentx && id postfix-agentx | grep -q agentx' >/dev/null || fail 'users'
    is 'the state directory' 'postfix-agentx:postfix-agentx 750' "$(inside 'stat -c "%U:%G %a" /var/lib/postfix-agentx')"
    is 'the directory of the socket' 'root:root 755' "$(inside 'stat -c "%U:%G %a" /var/agentx')"
    inside 'rpm -V --nodeps postfix-agentx' || fail 'rpm -V'
    is 'twice' 1 "$(inside 'cp /etc/snmp/snmpd.conf /root/; postfix-agentx setup-snmpd --write >/root/do; postfix-agentx setup-snmpd --write | grep -c "nothing to change"')"
    inside 'grep -v "^#" /root/do | sh -ex' 2>&1
    inside 'systemctl enable -q --now postfix-agentx'
    wait_for 'the service' 20 served
    wait_for 'postfixHealth ok' 90 healthy
    inside 'postfix-agentx check' >"$tree.check" || { cat "$tree.check"; fail check; }
    named_walk
    mail
    wait_for 'received mail' 30 has_mail
    local before
    before=$(received)
    inside 'cd /root && rpm -U --nodeps --replacepkgs postfix-agentx-*.rpm'
    wait_for 'the service after the upgrade' 20 served
    wait_for 'postfixHealth ok' 60 healthy
    (($(received) >= before)) || fail 'counters went back'
    inside 'postfix-agentx setup-snmpd --remove >/dev/null; cmp /etc/snmp/snmpd.conf /root/snmpd.conf' || fail 'setup-snmpd --remove'
    inside 'rpm -e --nodeps postfix-agentx'
    inside '[ ! -e /usr/bin/postfix-agentx ] && [ -d /var/lib/postfix-agentx ] && ! systemctl is-active -q postfix-agentx' || fail 'rpm -e'
    end
    say 'rpm: done'
}

[[ $(id -u) == 0 ]] || fail 'needs root'
for which in "${@:-bookworm trixie rpm}"; do
    for one in $which; do
        case $one in
        rpm) rpm_package ;;
        *) deb "$one" ;;
        esac
    done
done
