#!/bin/bash
# `make test-debian`: the whole suite on Debians of their own, in a process namespace as containers have it.
#
#   tests/debian.sh [bookworm] [trixie]      both where none is named
#
# Needs root, debootstrap, Debian's archive, 5 GB a tree and half an hour each. Trees are kept, with what was built, in
# target/debian: a second run takes a third.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${CARGO_TARGET_DIR:-$PWD/target}/debian
mirror=${MIRROR:-http://deb.debian.org/debian}
mkdir -p "$work"
[[ $(id -u) == 0 ]] || { echo 'debian.sh: needs root' >&2; exit 1; }

one() { # one SUITE
    local tree=$work/$1
    if [[ ! -e $tree.done ]]; then
        rm -rf "$tree"
        debootstrap --variant=minbase --include=make,git,ca-certificates "$1" "$tree" "$mirror" >"$tree.log" 2>&1 || { tail "$tree.log"; return 1; }
        # Rust that is new enough comes from there.
        echo "deb ${mirror%/debian}/debian-security $1-security main" >>"$tree/etc/apt/sources.list"
        # No daemon of the packages is started.
        printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
        chmod 755 "$tree/usr/sbin/policy-rc.d"
        touch "$tree.done"
    fi
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    rm -rf "$tree/src"
    mkdir "$tree/src"
    git ls-files -z | tar --null -T - -c | tar -x -C "$tree/src"
    # Ends with everything that it started.
    unshare -mpf --kill-child bash -ec '
        tree=$1
        mount --make-rprivate /
        mount -t proc proc "$tree/proc"
        mount -t tmpfs tmpfs "$tree/dev/shm"
        ip link set lo up 2>/dev/null || true
        chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CARGO_TARGET_DIR=/target \
            make -C /src test
    ' debian.sh "$tree"
}

failed=()
for suite in "${@:-bookworm trixie}"; do
    for name in $suite; do
        begun=$SECONDS
        if one "$name"; then
            echo "$name: passed, $((SECONDS - begun)) s"
        else
            failed+=("$name")
            echo "$name: FAILED" >&2
        fi
    done
done
[[ ${#failed[@]} == 0 ]]
