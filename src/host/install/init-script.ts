// Start scripts for boards without systemd, as text: one for sysvinit and its likes (LSB comments, a supervising loop in sh that starts the
// role again with growing pauses), one for OpenRC, whose own supervisor does that. Pure. Source: LSB 5.0 chapter 22, openrc-run(8),
// supervise-daemon(8).

import type { Role } from '../../base/role-options.ts'
import { RESTART_SECONDS, RESTART_SECONDS_MAX, STOP_SECONDS_MAX } from './limits.ts'

export interface ScriptOptions {
  readonly role: Role
  readonly program: string
  readonly configFile: string
}

/** A log in a file is cut to its last half above this. */
const LOG_BYTES_MAX = 1024 * 1024

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/**
 * start | stop | restart | status | supervise. Stopping ends the role alone: pods go on running. The number in the pid file is believed only
 * when that process is this script.
 */
export const initScript = ({ role, program, configFile }: ScriptOptions): string => {
  const name = `heliopause-${role}`
  return `#!/bin/sh
### BEGIN INIT INFO
# Provides:          ${name}
# Required-Start:    $local_fs
# Required-Stop:     $local_fs
# Should-Start:      nftables
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Heliopause ${role}
### END INIT INFO
# Written by helio install; helio uninstall removes it. Pods start with no network, so nothing here waits for one.
# Stopping this ends the ${role} alone: pods go on running.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
NAME=${name}
PROGRAM=${quote(program)}
CONFIG=${quote(configFile)}
PIDFILE=\${HELIO_RUN_DIR:-/run}/$NAME.pid
LOGFILE=\${HELIO_LOG_DIR:-/var/log}/$NAME.log

# The supervisor's process id, when it runs: a number that now belongs to another process is none.
supervisor() {
  [ -r "$PIDFILE" ] || return 1
  read -r pid < "$PIDFILE" || return 1
  [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\\0' ' ' < "/proc/$pid/cmdline" | grep -q "$NAME supervise" || return 1
  echo "$pid"
}

seconds() { cut -d. -f1 /proc/uptime; }

# Keeps the log small: the last half of it stays.
trim_log() {
  [ -f "$LOGFILE" ] || return 0
  [ "$(wc -c < "$LOGFILE")" -gt ${LOG_BYTES_MAX} ] || return 0
  tail -c ${LOG_BYTES_MAX / 2} "$LOGFILE" > "$LOGFILE.cut" && cat "$LOGFILE.cut" > "$LOGFILE"
  rm -f "$LOGFILE.cut"
}

# Runs the ${role} for ever: after each end a pause, longer each time it ended within a minute.
supervise() {
  role= pause= trimmer=
  trap 'trap "" TERM INT; [ -z "$role" ] || kill "$role" 2>/dev/null; [ -z "$pause" ] || kill "$pause" 2>/dev/null; [ -z "$role" ] || wait "$role"; [ -z "$trimmer" ] || kill "$trimmer" 2>/dev/null; rm -f "$PIDFILE"; exit 0' TERM INT
  delay=${RESTART_SECONDS}
  while :; do
    trim_log
    began=$(seconds)
    "$PROGRAM" ${role} --config "$CONFIG" >> "$LOGFILE" 2>&1 < /dev/null &
    role=$!
    # A log that grows while the ${role} runs is looked at once an hour.
    (trap 'kill $! 2>/dev/null; exit 0' TERM; while :; do sleep 3600 & wait $!; trim_log; done) &
    trimmer=$!
    wait "$role"
    code=$?
    role=
    kill "$trimmer" 2>/dev/null
    trimmer=
    [ $(($(seconds) - began)) -lt 60 ] || delay=${RESTART_SECONDS}
    echo "$NAME ended with $code; again in $delay s" >> "$LOGFILE"
    sleep "$delay" &
    pause=$!
    wait "$pause"
    pause=
    delay=$((delay * 2))
    [ "$delay" -le ${RESTART_SECONDS_MAX} ] || delay=${RESTART_SECONDS_MAX}
  done
}

start() {
  if supervisor > /dev/null; then echo "$NAME runs already"; return 0; fi
  if command -v setsid > /dev/null; then detach=setsid; else detach=nohup; fi
  # The name as the first word after the script tells the process from others.
  $detach sh "$0" "$NAME supervise" < /dev/null > /dev/null 2>&1 &
  echo $! > "$PIDFILE.new" && mv "$PIDFILE.new" "$PIDFILE"
  echo "$NAME started"
}

stop() {
  pid=$(supervisor) || { rm -f "$PIDFILE"; echo "$NAME does not run"; return 0; }
  kill "$pid"
  left=${STOP_SECONDS_MAX}
  while [ "$left" -gt 0 ] && [ -d "/proc/$pid" ]; do sleep 1; left=$((left - 1)); done
  [ ! -d "/proc/$pid" ] || kill -9 "$pid"
  rm -f "$PIDFILE"
  echo "$NAME stopped; pods go on running"
}

case "$1" in
  start) start ;;
  stop) stop ;;
  restart | force-reload) stop; start ;;
  status)
    if pid=$(supervisor); then echo "$NAME runs (supervisor $pid)"; exit 0; fi
    echo "$NAME does not run"
    exit 3
    ;;
  "$NAME supervise") supervise ;;
  *) echo "usage: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
`
}

/** OpenRC's supervisor starts it again for ever. */
export const openRcScript = ({ role, program, configFile }: ScriptOptions): string => `#!/sbin/openrc-run
# Written by helio install; helio uninstall removes it. Stopping this ends the ${role} alone: pods go on running.

name="heliopause-${role}"
description="Heliopause ${role}"
supervisor=supervise-daemon
command=${quote(program)}
command_args="${role} --config ${configFile}"
respawn_delay=${RESTART_SECONDS}
# For ever: nobody is there to reset a service that gave up.
respawn_max=0
retry="TERM/${STOP_SECONDS_MAX}/KILL/5"
output_log="/var/log/heliopause-${role}.log"
error_log="/var/log/heliopause-${role}.log"

depend() {
  need localmount
  after bootmisc modules nftables
}
`
