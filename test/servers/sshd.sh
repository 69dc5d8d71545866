#!/usr/bin/env bash
# A real sshd on loopback, for tests of rsync over ssh: as the caller, with keys
# of its own, without passwords. README.md beside this file says how to use it.
set -euo pipefail
export LC_ALL=C

readonly LIMIT=20 FIRST_PORT=7680 LAST_PORT=7778
readonly TOOLS=(sshd ssh ssh-keygen rsync)
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'sshd.sh: %s\n' "$*"; }
die() { printf 'sshd.sh: %s\n' "$*" >&2; exit 1; }

usage() {
  cat <<'TEXT'
usage: sshd.sh install | start [DIR] | stop [DIR] | status [DIR]
DIR defaults to $CANNERY_SSHD_DIR, else ${XDG_CACHE_HOME:-~/.cache}/cannery-sshd
TEXT
}

# ---- install ---------------------------------------------------------------

missing_tools() {
  local t
  for t in "${TOOLS[@]}"; do command -v "$t" >/dev/null || printf '%s ' "$t"; done
}

readonly POLICY=/usr/sbin/policy-rc.d

# The package would start a server of its own, on every address of this machine.
apt_install() {
  if [[ ! -e $POLICY ]]; then
    trap 'rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    openssh-server openssh-client rsync
}

cmd_install() {
  if [[ -z $(missing_tools) ]]; then say 'already installed'; return; fi
  command -v apt-get >/dev/null || die 'cannot install: this system has no apt-get'
  [[ $(id -u) -eq 0 ]] || die 'cannot install: apt-get needs root'
  # Lists can be absent or stale: refresh them only when they do not serve.
  if ! apt-cache show openssh-server >/dev/null 2>&1 || ! apt_install; then
    apt-get update || die 'apt-get update failed'
    apt_install || die 'apt-get install of openssh-server openssh-client rsync failed'
  fi
  [[ -z $(missing_tools) ]] || die "installed, but still missing: $(missing_tools)"
  say 'installed'
}

# ---- the folder ------------------------------------------------------------

# DIR holds: state (the port), env, lock, pid, out, log, sshd_config, host_key, user_key, known_hosts.

set_dir() {
  local d=${1:-}
  if [[ -z $d ]]; then
    d=${CANNERY_SSHD_DIR:-}
    [[ -n $d ]] || d=${XDG_CACHE_HOME:-${HOME:?neither DIR nor HOME is set}/.cache}/cannery-sshd
  fi
  DIR=$(realpath -m -- "$d")
  # Neither sshd_config nor rsync's --rsh has quoting for everything.
  case $DIR in
    / | *[!A-Za-z0-9._/@+,=~-]*) die "not a usable folder (plain letters, digits and . _ - only): $DIR" ;;
  esac
  CONF=$DIR/sshd_config
}

take_lock() {
  command -v flock >/dev/null || die 'flock (util-linux) is needed'
  exec 9>"$DIR/lock" || die "cannot write in $DIR"
  flock -w "$((LIMIT * 2))" 9 || die "another sshd.sh is at work on $DIR"
}

read_state() {
  PORT=''
  # shellcheck source=/dev/null
  [[ ! -f $DIR/state ]] || . "$DIR/state"
}

make_keys() {
  local key
  for key in host_key user_key; do
    [[ -f $DIR/$key ]] || ssh-keygen -q -t ed25519 -N '' -C cannery-test -f "$DIR/$key"
  done
  printf '[127.0.0.1]:%s %s\n' "$PORT" "$(<"$DIR/host_key.pub")" >"$DIR/known_hosts"
}

write_conf() {
  cat >"$CONF" <<TEXT
ListenAddress 127.0.0.1
Port $PORT
HostKey $DIR/host_key
PidFile none
AuthorizedKeysFile $DIR/user_key.pub
AllowUsers $(id -un)
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
# The home folder of a test machine may be writable for a group.
StrictModes no
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
TEXT
}

# The port goes into the command, as rsync has no place for it beside the host.
ssh_command() {
  printf '%s' "ssh -F none -p $PORT -i $DIR/user_key -o IdentitiesOnly=yes -o BatchMode=yes" \
    " -o StrictHostKeyChecking=yes -o UserKnownHostsFile=$DIR/known_hosts -o GlobalKnownHostsFile=/dev/null" \
    ' -o LogLevel=ERROR -o ConnectTimeout=10'
}

write_env() {
  printf "export CANNERY_TEST_SSH_HOST=127.0.0.1\nexport CANNERY_TEST_SSH='%s'\n" "$(ssh_command)" >"$DIR/env.new"
  mv -f "$DIR/env.new" "$DIR/env"
}

# ---- the process -----------------------------------------------------------

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

pick_port() {
  for ((PORT = FIRST_PORT; PORT < LAST_PORT; PORT++)); do listening "$PORT" || return 0; done
  die "no free port in $FIRST_PORT-$LAST_PORT"
}

# Prints the pid if it is the live server of this folder. A pid file alone
# proves nothing: the number may belong to somebody else by now.
pid_of() {
  local pid
  [[ -f $DIR/pid ]] || return 1
  pid=$(<"$DIR/pid")
  [[ $pid =~ ^[1-9][0-9]*$ ]] || return 1
  # sshd writes over its arguments: "sshd: /usr/sbin/sshd -D -f … [listener] …".
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "sshd -D -f $CONF " || return 1
  printf '%s\n' "$pid"
}
alive() { pid_of >/dev/null; }

# shellcheck disable=SC2046
logs_in() { timeout 15 $(ssh_command) 127.0.0.1 true </dev/null >/dev/null 2>&1; }

end() {
  local pid i
  if pid=$(pid_of); then
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do alive || break; sleep 0.1; done
    ! alive || die "sshd does not go away (pid $pid)"
  fi
  rm -f "$DIR/pid"
}

fail() {
  tail -q -n 20 "$DIR/out" "$DIR/log" | cut -c1-300 >&2
  end
  die "$@"
}

cmd_start() {
  local missing i
  missing=$(missing_tools)
  [[ -z $missing ]] || die "not installed: $missing(run: sshd.sh install)"
  mkdir -p -- "$DIR" || die "cannot make $DIR"
  chmod 700 "$DIR"
  take_lock
  read_state
  if alive && logs_in; then
    write_env
    say "already running: 127.0.0.1:$PORT ($DIR)"
    return
  fi
  end
  if [[ -z $PORT ]] || listening "$PORT"; then pick_port; fi
  printf 'PORT=%s\n' "$PORT" >"$DIR/state"
  make_keys
  write_conf
  # Root's sshd wants this empty folder; no service has made it here.
  [[ $(id -u) -ne 0 || -d /run/sshd ]] || install -d -m 0755 /run/sshd
  : >"$DIR/log"
  # In a session of its own, so that it outlives the caller; by its whole path, as it starts itself anew.
  setsid "$(command -v sshd)" -D -f "$CONF" -E "$DIR/log" </dev/null >"$DIR/out" 2>&1 9>&- &
  printf '%s\n' "$!" >"$DIR/pid"
  trap end EXIT INT TERM HUP
  for ((i = 0; i < LIMIT * 10; i++)); do
    listening "$PORT" && break
    kill -0 "$!" 2>/dev/null || fail 'sshd ended while starting'
    sleep 0.1
  done
  logs_in || fail "no login on 127.0.0.1:$PORT"
  trap - EXIT INT TERM HUP
  write_env
  say "running: 127.0.0.1:$PORT ($DIR)"
}

cmd_stop() {
  if [[ ! -f $DIR/state ]]; then say "nothing to stop in $DIR"; return; fi
  take_lock
  end
  # Nobody should read the address of a server that is gone.
  rm -f "$DIR/env"
  say "stopped ($DIR)"
}

cmd_status() {
  [[ -f $DIR/state ]] || { say "not running: nothing in $DIR"; return 1; }
  read_state
  alive || { say "not running ($DIR)"; return 1; }
  logs_in || { say "not running: no login on 127.0.0.1:$PORT ($DIR)"; return 1; }
  say "running: 127.0.0.1:$PORT ($DIR)"
}

main() {
  local cmd=${1:-}
  [[ $# -le 2 ]] || { usage >&2; exit 2; }
  case $cmd in
    install) cmd_install ;;
    start | stop | status)
      set_dir "${2:-}"
      "cmd_$cmd"
      ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
  esac
}
main "$@"
