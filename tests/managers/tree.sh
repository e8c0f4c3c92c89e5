#!/bin/bash
# A Debian 13 with Zabbix 7.0 in DIRECTORY, for whatever Debian runs the tests: tree.sh DIRECTORY. Needs root and debootstrap.
set -euo pipefail
tree=$1
[[ -e $tree/.complete ]] && exit 0
debootstrap --variant=minbase trixie "$tree"
# Debian asks this script before it starts a service: 101 means no.
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
# The host's way to the archive.
cp /etc/apt/apt.conf.d/* "$tree/etc/apt/apt.conf.d/" 2>/dev/null || true
cp /etc/resolv.conf "$tree/etc/"
mount -t proc proc "$tree/proc"
trap 'umount "$tree/proc"' EXIT
chroot "$tree" apt-get -qq update
DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get -qq install -y --no-install-recommends \
    zabbix-server-pgsql zabbix-frontend-php postgresql php-cli php-{pgsql,curl,xml,mbstring,gd,bcmath,ldap}
touch "$tree/.complete"
