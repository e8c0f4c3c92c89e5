#!/bin/bash
# Installs what the tests and the demo need and this machine lacks: Debian packages, a Rust toolchain, IETF's base MIB modules.
#
#   tests/deps.sh          run, tests and demo
#   tests/deps.sh lint     also rustfmt and clippy
#   tests/deps.sh managers [NAME]   the managers that make test-managers runs
#   tests/deps.sh cargo    installs nothing: prints the cargo to use, for the Makefile
#
# Does nothing, and needs no root, when all is there. No service of the host is started, and none that runs is touched.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive

# Which program or file stands for which package.
missing=()
need() { # need PACKAGE PROGRAM-OR-FILE
    if [[ $2 == /* ]]; then [[ -e $2 ]]; else command -v "$2" >/dev/null; fi || missing+=("$1")
}
need snmpd snmpd
need snmp snmpbulkwalk
need snmptrapd snmptrapd
need smitools smilint
need postfix postfix
need dovecot-imapd /usr/lib/dovecot/imap
need dovecot-pop3d /usr/lib/dovecot/pop3
need swaks swaks
need pflogsumm pflogsumm
need prometheus-postfix-exporter prometheus-postfix-exporter
need openssl openssl
# What logrotate may compress with.
need bzip2 bzip2
need xz-utils xz
need zstd zstd
need libsnmp-base /usr/share/snmp/mibs/NET-SNMP-MIB.txt
# For the examples of net-snmp's own agent library that the AgentX tests talk to, and for Rust's linker.
need libsnmp-dev net-snmp-config
need gcc gcc
# cargo fetches crates over https.
need ca-certificates /etc/ssl/certs/ca-certificates.crt
need libc6-dev /usr/include/stdio.h
need make make
need util-linux setpriv
need iproute2 ss
need groff-base groff
# Writes integrations/; its own library only.
need python3 python3
if [[ ${1-} == managers ]]; then
    wants() { [[ -z ${2-} || $1 == "$2" ]]; }
    if wants prometheus "${2-}"; then
        need prometheus prometheus
        need prometheus-snmp-exporter prometheus-snmp-exporter
    fi
    if wants icinga2 "${2-}"; then
        need icinga2-bin icinga2
        need monitoring-plugins-standard /usr/lib/nagios/plugins/check_snmp
    fi
    if wants librenms "${2-}"; then
        need monitoring-plugins-standard /usr/lib/nagios/plugins/check_snmp
        need python3-yaml /usr/lib/python3/dist-packages/yaml/__init__.py
    fi
    if wants collectd "${2-}"; then need collectd-core collectd; fi
    if wants mrtg "${2-}"; then
        need mrtg mrtg
        need librrds-perl /usr/share/doc/librrds-perl
        need rrdtool rrdtool
    fi
    if wants munin "${2-}"; then
        need munin /usr/share/munin/munin-update
        need munin-node munin-node
        need libnet-snmp-perl /usr/share/perl5/Net/SNMP.pm
    fi
    if wants zabbix "${2-}"; then
        need zabbix-server-pgsql zabbix_server
        need zabbix-frontend-php /usr/share/zabbix/index.php
        need postgresql /usr/share/postgresql-common/pg_wrapper
        need php-cli php
        for module in pgsql curl xml mbstring gd bcmath ldap; do need "php-$module" "/usr/share/doc/php-$module"; done
    fi
    if wants zabbix7 "${2-}"; then need debootstrap debootstrap; fi
fi

# Rust: what is in PATH, if new enough; else Debian's backport for browsers, which follows upstream.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
new_enough() { # new_enough PROGRAM…: both of cargo and rustc, as cargo from one toolchain runs rustc from PATH
    local program version
    for program; do
        version=$("$program" --version 2>/dev/null | awk '{ print $2 }')
        [[ -n $version && $(printf '%s\n' "$wanted" "$version" | sort -V | head -n1) == "$wanted" ]] || return 1
    done
}
toolchain() { # the cargo to use, as a command
    if new_enough cargo rustc; then
        echo cargo
    elif new_enough /usr/bin/cargo /usr/bin/rustc; then
        echo "env PATH=/usr/bin:$PATH cargo"
    else
        return 1
    fi
}
if [[ ${1-} == cargo ]]; then
    toolchain || { echo "deps.sh: no cargo of version $wanted or newer" >&2; exit 1; }
    exit
fi
# They replace Debian's older cargo and rustc, and provide them.
rust=() lints=()
toolchain >/dev/null || rust=(cargo-web rustc-web)
if [[ ${1-} == lint ]] && ! { cargo="$(toolchain)" && $cargo fmt --version && $cargo clippy --version; } >/dev/null 2>&1; then
    lints=(rustfmt-web rust-web-clippy)
fi

as_root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null && as_root=(sudo DEBIAN_FRONTEND=noninteractive)
    if ((${#missing[@]} + ${#rust[@]} + ${#lints[@]} > 0 && ${#as_root[@]} == 0)); then
        echo "deps.sh: neither root nor sudo; please install: ${missing[*]} ${rust[*]} ${lints[*]}" >&2
        exit 1
    fi
fi

apt() { "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=120 "$@"; }

# The package lists may be missing (fresh container) or too old to download by; then, and only then, they are fetched.
with_lists() { "$@" || { apt update && "$@"; }; }

# Debian stable has that second toolchain for its browsers. Testing has no such packages, and there cargo itself is new enough.
if ((${#rust[@]} + ${#lints[@]} > 0)); then
    apt-cache show cargo >/dev/null 2>&1 || apt update
    if ! apt-cache show cargo-web >/dev/null 2>&1; then
        rust=("${rust[@]%-web}")
        lints=("${lints[@]/-web/}")
    fi
    missing+=("${rust[@]}" "${lints[@]}")
fi

if ((${#missing[@]} > 0)); then
    echo "deps.sh: installing ${missing[*]}"
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        # Debian asks this script before it starts a service: 101 means no.
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        # Whatever happens next, the host gets its services back.
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # Postfix's installer asks what kind of host this is; the tests use none of its answers.
    if [[ " ${missing[*]} " == *" postfix "* ]] && command -v debconf-set-selections >/dev/null; then
        echo "postfix postfix/main_mailer_type select No configuration" | "${as_root[@]}" debconf-set-selections
    fi
    with_lists apt install -y --no-install-recommends "${missing[@]}" >/dev/null
    # That answer was for this installation only: without this, an administrator who configures Postfix later is not asked.
    if [[ " ${missing[*]} " == *" postfix "* ]] && command -v debconf-communicate >/dev/null; then
        printf 'RESET postfix/main_mailer_type\nFSET postfix/main_mailer_type seen false\n' |
            "${as_root[@]}" timeout 30 debconf-communicate postfix >/dev/null || true
        echo "deps.sh: Postfix was installed without configuration; \`dpkg-reconfigure postfix\` makes one"
    fi
    if ! toolchain >/dev/null; then
        # Lists from before the last backport offer an older one.
        apt update
        apt install -y --no-install-recommends "${rust[@]}" >/dev/null
        toolchain >/dev/null || { echo "deps.sh: Debian has no Rust $wanted here (is its security archive in sources.list?)" >&2; exit 1; }
    fi
fi

# Debian 13's Zabbix, in a tree of its own: some 700 MB.
if [[ ${1-} == managers ]] && wants zabbix7 "${2-}"; then
    "${as_root[@]}" tests/managers/tree.sh "${CARGO_TARGET_DIR:-target}/debian13" >/dev/null
fi

# Base MIB modules. Debian keeps IETF's texts out of its SNMP packages; erlang-snmp carries those that POSTFIX-MIB imports.
mibs=${CARGO_TARGET_DIR:-target}/mibs
if [[ ! -e $mibs/.complete ]]; then
    unpacked=$(mktemp -d)
    # apt-get drops to the user _apt, who needs to write here.
    chmod 777 "$unpacked"
    download() { (cd "$unpacked" && apt-get -qq download erlang-snmp); }
    with_lists download || { rm -rf "$unpacked"; exit 1; }
    dpkg-deb -x "$unpacked"/erlang-snmp_*.deb "$unpacked"
    mkdir -p "$mibs"
    for module in SNMPv2-SMI SNMPv2-TC SNMPv2-CONF SNMPv2-MIB SNMP-FRAMEWORK-MIB INET-ADDRESS-MIB; do
        cp "$unpacked"/usr/lib/erlang/lib/snmp-*/mibs/$module.mib "$mibs/$module.txt"
    done
    # NET-SNMP-MIB has netSnmpPlaypen, the root of our tree.
    cp /usr/share/snmp/mibs/NET-SNMP-MIB.txt "$mibs/"
    rm -rf "$unpacked"
    touch "$mibs/.complete"
fi
