#!/usr/bin/env bash
# A real S3 server (Ceph radosgw: one monitor, one OSD, one gateway) on
# loopback, for tests. README.md beside this file says how to use it.
set -euo pipefail
export LC_ALL=C
# A cluster configured in the caller's environment must not leak in.
unset CEPH_ARGS CEPH_CONF CEPH_KEYRING

readonly LIMIT=120 FIRST_PORT=7480 LAST_PORT=7678
readonly ACCESS_KEY=test SECRET_KEY=testtest
readonly TOOLS=(radosgw radosgw-admin ceph-mon ceph-osd ceph monmaptool)

say() { printf 'radosgw.sh: %s\n' "$*"; }
die() { printf 'radosgw.sh: %s\n' "$*" >&2; exit 1; }

usage() {
  cat <<'TEXT'
usage: radosgw.sh install | start [DIR] | stop [DIR] | status [DIR]
       radosgw.sh kill-gateway [DIR] | start-gateway [DIR]
DIR defaults to $CANNERY_RADOSGW_DIR, else ${XDG_CACHE_HOME:-~/.cache}/cannery-radosgw
TEXT
}

# ---- install ---------------------------------------------------------------

missing_tools() {
  local t
  for t in "${TOOLS[@]}"; do command -v "$t" >/dev/null || printf '%s ' "$t"; done
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    radosgw ceph-mon ceph-osd
}

cmd_install() {
  if [[ -z $(missing_tools) ]]; then say 'already installed'; return; fi
  command -v apt-get >/dev/null || die 'cannot install: this system has no apt-get'
  [[ $(id -u) -eq 0 ]] || die 'cannot install: apt-get needs root'
  # Lists can be absent or stale: refresh them only when they do not serve.
  if ! apt-cache show radosgw >/dev/null 2>&1 || ! apt_install; then
    apt-get update || die 'apt-get update failed'
    apt_install || die 'apt-get install of radosgw ceph-mon ceph-osd failed'
  fi
  [[ -z $(missing_tools) ]] || die "installed, but still missing: $(missing_tools)"
  say 'installed'
}

# ---- the folder ------------------------------------------------------------

# DIR holds: state (ports and ids), made (the cluster is complete), ceph.conf,
# env, lock, pid/, log/, mon/, osd/, run/, rgw/.

set_dir() {
  local d=${1:-}
  if [[ -z $d ]]; then
    d=${CANNERY_RADOSGW_DIR:-}
    [[ -n $d ]] || d=${XDG_CACHE_HOME:-${HOME:?neither DIR nor HOME is set}/.cache}/cannery-radosgw
  fi
  # One spelling of the path, because pids are recognised by it.
  DIR=$(realpath -m -- "$d")
  # ceph.conf has no quoting for $ ; # and the like.
  case $DIR in
    / | *[!A-Za-z0-9._/@+,=~-]*) die "not a usable folder (plain letters, digits and . _ - only): $DIR" ;;
  esac
  CONF=$DIR/ceph.conf
}

# Two callers must not build or stop one cluster at the same time. Daemons start
# with fd 9 closed, or they would hold the lock for ever.
take_lock() {
  command -v flock >/dev/null || die 'flock (util-linux) is needed'
  exec 9>"$DIR/lock" || die "cannot write in $DIR"
  flock -w "$((LIMIT + 60))" 9 || die "another radosgw.sh is at work on $DIR"
}

have_cluster() { [[ -f $DIR/state && -f $DIR/made ]]; }

read_state() {
  FSID='' OSD_UUID='' PORT='' MON_PORT=''
  # shellcheck source=/dev/null
  [[ ! -f $DIR/state ]] || . "$DIR/state"
}

write_state() {
  printf '%s\n' "FSID=$FSID" "OSD_UUID=$OSD_UUID" "PORT=$PORT" "MON_PORT=$MON_PORT" >"$DIR/state.new"
  mv -f "$DIR/state.new" "$DIR/state"
}

write_env() {
  cat >"$DIR/env.new" <<TEXT
export CANNERY_TEST_S3_ENDPOINT=http://127.0.0.1:$PORT
export CANNERY_TEST_S3_ACCESS_KEY=$ACCESS_KEY
export CANNERY_TEST_S3_SECRET_KEY=$SECRET_KEY
TEXT
  mv -f "$DIR/env.new" "$DIR/env"
}

write_conf() {
  cat >"$CONF" <<TEXT
[global]
fsid = $FSID
mon host = v2:127.0.0.1:$MON_PORT
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
keyring = /dev/null
# Sockets have a short path limit, and nobody needs them here.
admin socket =
pid file =
run dir = $DIR/run
log file = $DIR/log/\$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
rgw rados pool pg num min = 4
osd crush chooseleaf type = 0
crush location = root=default host=h
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data = $DIR/mon
mon data avail crit = 1
mon cluster log to file = false
crash dir = $DIR/run
debug rocksdb = 0
# One try: a monitor that lost the race for its port must say so at once.
ms bind retry count = 1
# One monitor has nobody to wait for: each pool is then made at once.
paxos propose interval = 0.05
osd data = $DIR/osd
osd objectstore = bluestore
bluestore block size = 4294967296
bluestore cache autotune = false
bluestore cache size = 67108864
osd memory target = 939524096
# A killed gateway's watches would else hold up its successor for 30 s.
osd client watch timeout = 3
rgw data = $DIR/rgw
rgw frontends = beast endpoint=127.0.0.1:$PORT
rgw thread pool size = 64
rgw run sync thread = false
# Deleted objects give their room back soon, as the disk is small.
rgw gc obj min wait = 60
rgw gc processor period = 60
TEXT
}

# ---- ports -----------------------------------------------------------------

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The monitor binds first, and so claims the whole pair.
pick_ports() {
  local p
  for ((p = FIRST_PORT; p < LAST_PORT; p += 2)); do
    if ! listening "$p" && ! listening "$((p + 1))"; then
      PORT=$p MON_PORT=$((p + 1))
      return
    fi
  done
  die "no free pair of ports in $FIRST_PORT-$LAST_PORT"
}

# ---- processes -------------------------------------------------------------

daemon_bin() {
  case $1 in mon) echo ceph-mon ;; osd) echo ceph-osd ;; rgw) echo radosgw ;; esac
}
daemon_log() {
  case $1 in mon) echo mon.a ;; osd) echo osd.0 ;; rgw) echo client.rgw ;; esac
}

# Prints the pid if it is a live process of this folder. A pid file alone
# proves nothing: the number may belong to somebody else by now.
pid_of() {
  local pid args bin
  [[ -f $DIR/pid/$1 ]] || return 1
  pid=$(<"$DIR/pid/$1")
  [[ $pid =~ ^[1-9][0-9]*$ ]] || return 1
  bin=$(daemon_bin "$1")
  mapfile -d '' -t args 2>/dev/null <"/proc/$pid/cmdline" || return 1
  [[ ${#args[@]} -ge 3 && ${args[0]##*/} == "$bin" && ${args[1]} == -c && ${args[2]} == "$CONF" ]] || return 1
  printf '%s\n' "$pid"
}
alive() { pid_of "$1" >/dev/null; }

show_log() {
  local f
  for f in "$DIR/log/$1.out" "$DIR/log/$(daemon_log "$1").log"; do
    [[ -s $f ]] || continue
    printf -- '--- last lines of %s\n' "$f" >&2
    tail -n 20 -- "$f" | cut -c1-300 >&2
  done
}
fail() { show_log "$1"; shift; die "$@"; }

STARTED=() HELPER=''

# spawn NAME ARG...: in its own session, so that it outlives the caller.
# Fails if the daemon ends at once.
spawn() {
  local name=$1 bin i
  shift
  bin=$(daemon_bin "$name")
  TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES=33554432 \
    setsid "$bin" -c "$CONF" "$@" -f </dev/null >"$DIR/log/$name.out" 2>&1 9>&- &
  printf '%s\n' "$!" >"$DIR/pid/$name"
  STARTED=("$name" "${STARTED[@]}")
  # The first moments belong to the shell and to setsid, not to the daemon.
  for ((i = 0; i < 50; i++)); do
    alive "$name" && return
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
  done
  return 1
}

# owns NAME PORT: it is this daemon that listens there, and not a stranger.
owns() {
  local pid inode
  pid=$(pid_of "$1") || return 1
  inode=$(awk -v p="$(printf ':%04X' "$2")" '$2 ~ p"$" && $4 == "0A" { print $10; exit }' /proc/net/tcp)
  [[ -n $inode && -n $(find "/proc/$pid/fd" -lname "socket:\\[$inode\\]" -print -quit 2>/dev/null) ]]
}

# end NAME: TERM, then KILL for one that does not listen. A gateway without a
# cluster never does; a killed OSD loses nothing that it had acknowledged.
end() {
  local name=$1 patience=30 pid i
  [[ $name != rgw ]] || { alive mon && alive osd; } || patience=2
  if pid=$(pid_of "$name"); then
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < patience * 10; i++)); do
      alive "$name" || break
      sleep 0.1
    done
    if pid=$(pid_of "$name"); then
      say "$(daemon_bin "$name") ignores TERM, killing it"
      kill -KILL "$pid" 2>/dev/null || true
      wait_gone "$name"
    fi
  fi
  rm -f "$DIR/pid/$name"
}

wait_gone() {
  local i
  for ((i = 0; i < 100; i++)); do
    alive "$1" || return 0
    sleep 0.1
  done
  die "$(daemon_bin "$1") does not go away"
}

# A start that fails or is interrupted takes down what it had begun.
undo_start() {
  local rc=$? n
  trap - EXIT
  end_helper
  if [[ $rc -ne 0 ]]; then
    for n in "${STARTED[@]}"; do end "$n"; done
  fi
  exit "$rc"
}
arm_undo() {
  trap undo_start EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# ---- start -----------------------------------------------------------------

left() { echo $((DEADLINE > SECONDS ? DEADLINE - SECONDS : 1)); }

# Every helper is bounded: with no quorum they would wait for ever. And it runs
# beside the script, as bash sees no signal while a foreground command runs. It
# keeps the lock: one that outlives a killed script holds off the next start.
helper() {
  local rc=0 n
  timeout -k 5 "$(left)" "$@" >"$DIR/log/step.out" 2>&1 &
  HELPER=$!
  while kill -0 "$HELPER" 2>/dev/null; do
    for n in "${STARTED[@]}"; do
      alive "$n" || { end_helper; fail "$n" "$(daemon_bin "$n") ended while starting"; }
    done
    sleep 0.05
  done
  wait "$HELPER" || rc=$?
  HELPER=''
  return "$rc"
}

end_helper() {
  [[ -n $HELPER ]] || return 0
  kill "$HELPER" 2>/dev/null || true
  wait "$HELPER" || true
  HELPER=''
}

# run NAME COMMAND...: on failure, shows what the command said and NAME's log.
run() {
  local name=$1 rc=0
  shift
  helper "$@" || rc=$?
  ((rc)) || return 0
  tail -n 20 "$DIR/log/step.out" | cut -c1-300 >&2
  if ((rc == 124 || rc == 137)); then fail "$name" "no end within $LIMIT s: ${*:1:1} ${*:4:2}"; fi
  fail "$name" "failed with status $rc: ${*:1:1} ${*:4:2}"
}

http_status() {
  # No curl needed, and no proxy setting can interfere. A body that nobody
  # reads is dropped when the connection closes.
  # shellcheck disable=SC2016
  timeout 5 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n" >&3
    read -r _ code _ <&3 && printf "%s\n" "$code"' _ "$1" 2>/dev/null || true
}
answers() { owns rgw "$PORT" && [[ $(http_status "$PORT") == 200 ]]; }

wait_gateway() {
  until answers; do
    alive rgw || fail rgw 'the gateway ended while starting'
    ((SECONDS < DEADLINE)) || fail rgw "the gateway did not answer 200 on port $PORT within $LIMIT s"
    sleep 0.1
  done
}

make_monmap() {
  rm -f "$DIR/monmap"
  run mon monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON_PORT]" "$DIR/monmap"
}

need_tools() {
  local m
  m=$(missing_tools)
  [[ -z $m ]] || die "not installed: $m(run: radosgw.sh install)"
}

# Nothing but this script's own leavings may be wiped.
prepare_dir() {
  mkdir -p -- "$DIR" || die "cannot make $DIR"
  if [[ ! -f $DIR/state ]] && [[ -n $(find "$DIR" -mindepth 1 ! -name lock -print -quit) ]]; then
    die "not empty, and not made by radosgw.sh: $DIR"
  fi
  take_lock
  if [[ -f $DIR/state && ! -f $DIR/made ]]; then
    local n
    for n in rgw osd mon; do end "$n"; done
    say "half-made cluster in $DIR: making it anew"
    rm -rf "$DIR"/{mon,osd,rgw,run,log,pid,monmap,ceph.conf,env,state}
  fi
  mkdir -p "$DIR"/{mon,osd,rgw,run,log,pid}
}

# start_mon fresh|again. The ports may be taken by now, or be lost to another
# start between the look and the bind: then the next pair is tried.
start_mon() {
  local how=$1 try moved=0
  for try in 1 2 3 4 5; do
    if [[ $how == fresh ]] || listening "$PORT" || listening "$MON_PORT"; then
      pick_ports
      moved=1
    fi
    write_conf
    # The monitor's address is part of its own data too.
    if ((moved)); then
      rm -f "$DIR/monmap"
      run mon monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON_PORT]" "$DIR/monmap"
      if [[ $how == fresh ]]; then
        rm -rf "$DIR/mon"
        mkdir "$DIR/mon"
        run mon ceph-mon -c "$CONF" -i a --mkfs --monmap "$DIR/monmap" -f
      else
        run mon ceph-mon -c "$CONF" -i a --inject-monmap "$DIR/monmap" -f
      fi
    fi
    write_state
    spawn mon -i a || true
    while alive mon; do
      owns mon "$MON_PORT" && return
      ((SECONDS < DEADLINE)) || fail mon "the monitor did not listen on port $MON_PORT within $LIMIT s"
      sleep 0.1
    done
    listening "$MON_PORT" || fail mon 'the monitor ended while starting'
  done
  fail mon "no ports to be had in $try attempts"
}

start_osd() { spawn osd -i 0 || fail osd 'the OSD did not start'; }

start_gateway() {
  ! listening "$PORT" || die "port $PORT is taken by another program"
  spawn rgw -n client.rgw || fail rgw 'the gateway did not start'
  wait_gateway
}

cmd_start() {
  need_tools
  local begun=$SECONDS n
  prepare_dir
  DEADLINE=$((SECONDS + LIMIT))
  read_state
  if have_cluster && alive mon && alive osd && alive rgw && answers; then
    write_env
    say "already running: http://127.0.0.1:$PORT ($DIR)"
    return
  fi
  arm_undo
  for n in mon osd rgw; do
    alive "$n" || mv -f "$DIR/log/$(daemon_log "$n").log"{,.old} 2>/dev/null || true
  done

  if have_cluster; then
    # The gateway's port belongs to another by now: all of it moves.
    if ! alive rgw && listening "$PORT"; then end osd; end mon; fi
    if ! alive mon; then
      # The others hang without their monitor, and it may get a new address.
      end rgw
      end osd
      start_mon again
    fi
    alive osd || start_osd
    make_user
  else
    FSID=$(</proc/sys/kernel/random/uuid) OSD_UUID=$(</proc/sys/kernel/random/uuid)
    write_state
    start_mon fresh
    run mon ceph -c "$CONF" osd new "$OSD_UUID"
    run osd ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$OSD_UUID" -f
    start_osd
    make_user
    : >"$DIR/made"
  fi
  if alive rgw; then wait_gateway; else start_gateway; fi
  write_env
  say "running: http://127.0.0.1:$PORT ($DIR), $((SECONDS - begun)) s"
}

make_user() {
  helper radosgw-admin -c "$CONF" user info --access-key="$ACCESS_KEY" && return
  run osd radosgw-admin -c "$CONF" user create --uid=test --display-name=test \
    --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY"
}

# ---- the other commands ----------------------------------------------------

need_cluster() {
  have_cluster || die "no cluster in $DIR (run: radosgw.sh start)"
  take_lock
  read_state
}

cmd_stop() {
  if [[ ! -f $DIR/state ]]; then say "nothing to stop in $DIR"; return; fi
  take_lock
  local n any=0
  for n in rgw osd mon; do
    ! alive "$n" || any=1
    # In this order, as each needs the next to end well.
    end "$n"
  done
  # Nobody should read the address of a server that is gone.
  rm -f "$DIR/env"
  if ((any)); then say "stopped ($DIR)"; else say "was not running ($DIR)"; fi
}

cmd_kill_gateway() {
  local pid
  need_cluster
  pid=$(pid_of rgw) || die "the gateway is not running ($DIR)"
  kill -KILL "$pid"
  wait_gone rgw
  rm -f "$DIR/pid/rgw"
  say "gateway killed ($DIR)"
}

cmd_start_gateway() {
  need_tools
  need_cluster
  DEADLINE=$((SECONDS + LIMIT))
  { alive mon && alive osd; } || die "the cluster is not running (run: radosgw.sh start)"
  if alive rgw; then
    wait_gateway
    say "gateway already running: http://127.0.0.1:$PORT"
    return
  fi
  arm_undo
  start_gateway
  say "gateway running: http://127.0.0.1:$PORT"
}

cmd_status() {
  local n up=() down=()
  if ! have_cluster; then say "not running: no cluster in $DIR"; return 1; fi
  read_state
  for n in mon osd rgw; do
    if alive "$n"; then up+=("$n"); else down+=("$n"); fi
  done
  if ((${#down[@]})); then say "not running: ${down[*]} down${up[*]:+, ${up[*]} up} ($DIR)"; return 1; fi
  answers || { say "not running: port $PORT does not answer 200 ($DIR)"; return 1; }
  say "running: http://127.0.0.1:$PORT ($DIR)"
}

main() {
  local cmd=${1:-}
  [[ $# -le 2 ]] || { usage >&2; exit 2; }
  case $cmd in
    install) cmd_install ;;
    start | stop | status | kill-gateway | start-gateway)
      set_dir "${2:-}"
      "cmd_${cmd//-/_}"
      ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
  esac
}
main "$@"
