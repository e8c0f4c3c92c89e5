#!/bin/bash
# Builds what `make deb`, `make rpm` and `make tarball` promise, into target/packages.
#
#   packaging/build.sh deb|rpm|tarball…
#
# deb and rpm hold one binary for every distribution since 2012 (glibc 2.17, by zig's linker); the tarball's is static and needs none.
# Two builds of one commit are equal, octet for octet: times are the commit's, and no path of this machine is in the binary.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
# Asked in this directory; may be several words.
cargo=$(tests/deps.sh cargo)
tools=$target/tools
out=$target/packages
mkdir -p "$out" "$tools"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)
export SOURCE_DATE_EPOCH
remap="--remap-path-prefix=$PWD=/usr/src/postfix-agentx --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/usr/src/cargo"

tool() { # tool PROGRAM CRATE VERSION: as it was tried; a later one may make other octets
    [[ -x $tools/bin/$1 ]] || $cargo install --quiet --locked --root "$tools" "$2" --version "$3"
}

# The binary of one kind, stripped, with its debug symbols apart: $out/KIND/postfix-agentx and .debug.
finish() { # finish KIND BINARY
    mkdir -p "$out/$1"
    objcopy --only-keep-debug --compress-debug-sections "$2" "$out/$1/postfix-agentx.debug"
    objcopy --strip-all --remove-section=.comment "$2" "$out/$1/postfix-agentx"
    (cd "$out/$1" && objcopy --add-gnu-debuglink=postfix-agentx.debug postfix-agentx)
    chmod 755 "$out/$1/postfix-agentx"
    chmod 644 "$out/$1/postfix-agentx.debug"
}

# For 2.17: what RHEL 7 has, and every later one. zig is a Python package, the way cargo-zigbuild recommends.
dynamic() {
    [[ -e $out/dynamic/.done-$SOURCE_DATE_EPOCH ]] && return
    tool cargo-zigbuild cargo-zigbuild 0.24.1
    [[ -x $tools/zig/bin/python3 ]] || python3 -m venv "$tools/zig"
    "$tools/zig/bin/python3" -c 'import ziglang' 2>/dev/null || "$tools/zig/bin/pip" install --quiet ziglang==0.17.1
    RUSTFLAGS=$remap PATH=$tools/zig/bin:$tools/bin:$PATH \
        $cargo zigbuild --locked --release --target x86_64-unknown-linux-gnu.2.17 --target-dir "$target/dynamic"
    finish dynamic "$target/dynamic/x86_64-unknown-linux-gnu/release/postfix-agentx"
    touch "$out/dynamic/.done-$SOURCE_DATE_EPOCH"
}

static() {
    RUSTFLAGS="$remap -C target-feature=+crt-static" \
        $cargo build --locked --release --target x86_64-unknown-linux-gnu --target-dir "$target/static"
    finish static "$target/static/x86_64-unknown-linux-gnu/release/postfix-agentx"
}

# The commit's files with the commit's time, and the binary where Cargo.toml's lists look for it. Without git: the files as they are.
stage() {
    tree=$target/package-tree
    rm -rf "$tree"
    mkdir -p "$tree"
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git archive --format=tar HEAD | tar -x -C "$tree"
    else
        cp -a $(ls | grep -vx target) "$tree/"
    fi
    install -D -m 755 "$1/postfix-agentx" "$tree/target/package/postfix-agentx"
    python3 -B packaging/dependencies.py sbom >"$tree/target/package/sbom.cdx.json"
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

for kind; do
    case $kind in
    deb)
        dynamic
        stage "$out/dynamic"
        tool cargo-deb cargo-deb 3.8.0
        cd "$tree"
        PATH=$tools/bin:$PATH $cargo deb --no-build --no-strip --output "$out/postfix-agentx_$version-1_amd64.deb"
        cd - >/dev/null
        ;;
    rpm)
        dynamic
        stage "$out/dynamic"
        tool cargo-generate-rpm cargo-generate-rpm 0.21.1
        cd "$tree"
        PATH=$tools/bin:$PATH $cargo generate-rpm --payload-compress gzip --source-date "$SOURCE_DATE_EPOCH" \
            --output "$out/postfix-agentx-$version-1.x86_64.rpm"
        cd - >/dev/null
        ;;
    tarball)
        static
        name=postfix-agentx-$version-x86_64-linux
        stage "$out/static"
        mv "$tree/target/package/postfix-agentx" "$tree/target/package/sbom.cdx.json" "$tree/"
        tar -C "$tree" --transform "s,^,$name/," --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c \
            postfix-agentx sbom.cdx.json README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT SECURITY.md snmpd.conf.example mibs packaging docs integrations man completions |
            gzip -9n >"$out/$name.tar.gz"
        ;;
    *) echo "build.sh: deb, rpm or tarball, not $kind" >&2; exit 2 ;;
    esac
done
ls -l "$out" | grep -v '^total\|^d'
