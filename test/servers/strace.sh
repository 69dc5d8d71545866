#!/usr/bin/env bash
# strace, for the tests that break runs at their system calls. It is no server: it comes with them, by apt.
set -euo pipefail
export LC_ALL=C

say() { printf 'strace.sh: %s\n' "$*"; }
die() { printf 'strace.sh: %s\n' "$*" >&2; exit 1; }

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends strace; }

[[ ${1:-} == install && $# -eq 1 ]] || { printf 'usage: strace.sh install\n' >&2; exit 2; }
if command -v strace >/dev/null; then say 'already installed'; exit; fi
[[ $(uname) == Linux ]] || { say 'not installed: strace is of Linux; the tests that need it are skipped'; exit; }
command -v apt-get >/dev/null || die 'cannot install: this system has no apt-get'
[[ $(id -u) -eq 0 ]] || die 'cannot install: apt-get needs root'
# Lists can be absent or stale: refresh them only when they do not serve.
if ! apt-cache show strace >/dev/null 2>&1 || ! apt_install; then
  apt-get update || die 'apt-get update failed'
  apt_install || die 'apt-get install of strace failed'
fi
command -v strace >/dev/null || die 'installed, but still missing: strace'
say 'installed'
