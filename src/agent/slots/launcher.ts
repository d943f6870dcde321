// The launcher, /usr/local/bin/helio: sh that picks a slot and becomes its program. It makes the decision of slot-state.ts, with nothing but
// sh and what busybox has; a command line costs it no process, a start of a role three. Programs that fail to be executed make sh end,
// which runs the EXIT trap: from there the other slot is taken. Text of dash, busybox ash and bash alike.

import { BAD_MAX, SECONDS_DIGITS_MAX, TRIAL_DEADLINE_SECONDS, TRIAL_STARTS_MAX, VERSION_CHARS_MAX } from './limits.ts'
import { failedReason, UNFIT_REASON, UNKNOWN_SUM } from './slot-state.ts'

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

const HEAD = (dir: string): string => `#!/bin/sh
# Starts the Heliopause program of the slot in use: DIR/current says which. A program on trial (DIR/trial) that is started as server or agent
# is counted; after ${TRIAL_STARTS_MAX} starts that did not end the trial the other slot is taken and the sum noted in DIR/bad. Damaged files do not keep
# it from starting what is there. Written by helio; see "helio upgrade status".
dir=${quoted(dir)}
`

const BODY = `
say() { printf 'helio launcher: %s\\n' "$*" >&2; }
first() { # FILE: its first line in $line
  line=
  { read -r line <"$dir/$1"; } 2>/dev/null
}
opposite() { case $1 in a) other=b ;; *) other=a ;; esac; }
runnable() { [ -f "$dir/$1/helio" ] && [ -s "$dir/$1/helio" ] && [ -x "$dir/$1/helio" ]; }
fit() { # SLOT: also whole, and for this machine; sh would take what the kernel refuses for a script
  runnable "$1" || return 1
  first "$1/about"
  set -f
  # shellcheck disable=SC2086
  set -- "$1" $line
  if [ $# -eq 5 ]; then
    case $3 in *[!0-9]*) ;; *) size=$(stat -L -c %s "$dir/$1/helio" 2>/dev/null) && [ "$size" != "$3" ] && return 1 ;; esac
  fi
  head=$(od -An -v -tx1 -N20 "$dir/$1/helio" 2>/dev/null) || return 0
  # shellcheck disable=SC2086
  set -- $head
  case $1$2$3$4 in
    2321*) return 0 ;;
    7f454c46) ;;
    *) return 1 ;;
  esac
  case $(uname -m) in
    x86_64) case \${19} in 3e) ;; *) return 1 ;; esac ;;
    aarch64) case \${19} in b7 | 28) ;; *) return 1 ;; esac ;;
    arm*) case \${19} in 28) ;; *) return 1 ;; esac ;;
  esac
}
durable() { sync "$1" 2>/dev/null || sync; }
put() { # FILE TEXT: whole or not at all; on a full disk in place, where the text is as long as the one it replaces
  {
    if printf '%s\\n' "$2" >"$dir/$1.new" && durable "$dir/$1.new" && mv -f "$dir/$1.new" "$dir/$1"; then
      durable "$dir"
      return 0
    fi
    rm -f "$dir/$1.new"
    first "$1"
    if [ \${#line} -eq \${#2} ]; then
      printf '%s\\n' "$2" 1<>"$dir/$1" && durable "$dir/$1" && return 0
    fi
  } 2>/dev/null
  say "$dir/$1 cannot be written (read-only or full disk): going on without"
  return 1
}
finish() { rm -rf "$dir/trial" "$dir/trial.server" "$dir/trial.agent" 2>/dev/null; durable "$dir" 2>/dev/null; }
known_bad() { # SLOT
  first "$1/about"
  sum=\${line%% *}
  [ \${#sum} -eq 64 ] || return 1
  while read -r bad rest; do [ "$bad" = "$sum" ] && return 0; done <"$dir/bad"
  return 1
} 2>/dev/null
note_bad() { # SUM VERSION REASON
  [ -n "$1" ] || return 0
  list=$(tail -n BAD_LINES "$dir/bad" 2>/dev/null | grep -v "^$1 " 2>/dev/null)
  put bad "\${list:+$list
}$1 $2 $3"
}
born() { # PID: when it was started, in ticks; a process number can be another's later
  set -f
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086
  set -- \${line##*) }
  ticks=\${20}
}
watchdog() { # kills this process, whatever it has become, when the trial has made no progress by then
  born $$ || return 0
  (
    (
      cd /
      since=$ticks
      sleep $((deadline + deadline / 4 + 1))
      first "trial.$role"
      [ -e "$dir/trial" ] && [ "$line" = "$sum $count" ] && born $$ && [ "$ticks" = "$since" ] && kill -9 $$
    ) </dev/null >/dev/null 2>&1 &
  )
}
read_trial() { # trial=SLOT, or trial=unreadable; sum, version, deadline
  sum=UNKNOWN_SUM version=unknown deadline=DEADLINE trial=unreadable
  t_slot= t_sum= t_version= t_steady= t_deadline= t_more=
  { read -r t_slot t_sum t_version t_steady t_deadline t_more <"$dir/trial"; } 2>/dev/null
  case $t_slot in a | b) ;; *) return ;; esac
  case $t_sum in *[!0-9a-f]*) return ;; esac
  case $t_version in '' | *[!0-9A-Za-z.+-]*) return ;; esac
  case $t_steady in '' | *[!0-9]*) return ;; esac
  case $t_deadline in '' | *[!0-9]*) return ;; esac
  [ \${#t_sum} -eq 64 ] && [ \${#t_version} -le VERSION_CHARS ] && [ \${#t_steady} -le SECONDS_DIGITS ] && [ \${#t_deadline} -le SECONDS_DIGITS ] && [ -z "$t_more" ] || return
  trial=$t_slot sum=$t_sum version=$t_version deadline=\${t_deadline#"\${t_deadline%%[!0]*}"}
  deadline=\${deadline:-0}
}
read_count() {
  first "trial.$role"
  set -f
  # shellcheck disable=SC2086
  set -- $line
  case $#$2 in
    2[0-9] | 2ok) if [ "$1" = "$sum" ]; then count=$2; else count=0; fi ;;
    *) if [ -e "$dir/trial.$role" ]; then count=$((STARTS_MAX - 1)); else count=0; fi ;;
  esac
}
go_back() { # REASON: the program on trial is bad, the other slot the one in use
  if [ "$trial" = unreadable ]; then
    sum= version=unknown
    first "$slot/about"
    set -f
    # shellcheck disable=SC2086
    set -- "$1" $line
    if [ $# -eq 5 ] && [ \${#2} -eq 64 ]; then sum=$2 version=$4; fi
  fi
  say "version $version in slot $slot: $1; going back to slot $other"
  note_bad "$sum" "$version" "$1"
  put current "$other" && finish
  slot=$other
}

role=
case \${1-} in
  server | agent)
    role=$1
    for word; do case $word in --help | -h) role= ;; esac; done
    ;;
esac
trial= trying=
[ -e "$dir/trial" ] && read_trial
first current
slot=$line
case $slot in
  a | b)
    opposite "$slot"
    if [ -n "$role" ] && { [ "$trial" = "$slot" ] || [ "$trial" = unreadable ]; }; then
      read_count
      why=
      if [ "$count" != ok ] && [ "$count" -ge STARTS_MAX ]; then
        why=FAILED
      elif ! fit "$slot"; then
        why=UNFIT
      fi
      if [ -z "$why" ]; then
        trying=yes
        [ "$trial" != unreadable ] || say "$dir/trial cannot be read"
        if [ "$count" != ok ]; then
          count=$((count + 1))
          put "trial.$role" "$sum $count"
          watchdog
        fi
      elif fit "$other"; then
        go_back "$why"
      else
        say "slot $slot: $why, but slot $other holds nothing to go back to"
      fi
    elif [ "\${1-}" = upgrade ] && { [ "$trial" = "$slot" ] || [ "$trial" = unreadable ]; } && fit "$other"; then
      # Who wants to go back must not depend on what may not work.
      slot=$other
    elif [ -n "$role" ] && ! fit "$slot"; then
      say "slot $slot holds no program for this machine"
      if fit "$other" || ! runnable "$slot"; then slot=$other; fi
    fi
    ;;
  *)
    wanted='a b'
    case $trial in
      a) wanted='b a' ;;
      b) ;;
      *) if known_bad a && ! known_bad b; then wanted='b a'; fi ;;
    esac
    slot=
    for each in $wanted; do [ -n "$slot" ] || ! fit "$each" || slot=$each; done
    for each in $wanted; do [ -n "$slot" ] || ! runnable "$each" || slot=$each; done
    say "$dir/current cannot be read: \${slot:+taking slot $slot}"
    if [ -n "$role" ] && [ -n "$slot" ]; then
      case $trial in
        a | b) put current "$slot" && finish ;;
        *)
          # Nobody knows whether it is good: it is on a trial of its own.
          rm -rf "$dir/trial.server" "$dir/trial.agent" 2>/dev/null
          put trial UNKNOWN_SUM && put current "$slot"
          ;;
      esac
    fi
    ;;
esac
opposite "$slot"
if [ -z "$slot" ] || ! runnable "$slot"; then
  if ! runnable "$other"; then
    say "there is no program in $dir: helio install, as root"
    exit 1
  fi
  say "slot $slot holds no program: taking slot $other"
  slot=$other
  opposite "$slot"
fi
became() { # CODE: sh could not become the program
  say "$dir/$slot/helio cannot be executed ($1)"
  if [ -n "$trying" ] && fit "$other"; then go_back UNFIT; else slot=$other; fi
}
# bash goes on after a failed exec only when told to; dash and ash end, by way of the trap.
[ -z "\${BASH_VERSION-}" ] || shopt -s execfail
set +f
trap 'code=$?; trap - EXIT; became $code; runnable "$slot" || exit $code; exec "$dir/$slot/helio" "$@"' EXIT
exec "$dir/$slot/helio" "$@"
`

/** The text of the launcher for the slots of this data folder (absolute; as it is named on the device). Mode 0755. */
export const launcherText = ({ dataDir }: { readonly dataDir: string }): string =>
  HEAD(`${dataDir.replace(/\/+$/, '')}/slots`) +
  BODY.replaceAll('STARTS_MAX', String(TRIAL_STARTS_MAX))
    .replace('BAD_LINES', String(BAD_MAX - 1))
    .replaceAll('UNKNOWN_SUM', quoted(UNKNOWN_SUM))
    .replace('=DEADLINE', `=${TRIAL_DEADLINE_SECONDS}`)
    .replace('VERSION_CHARS', String(VERSION_CHARS_MAX))
    .replaceAll('SECONDS_DIGITS', String(SECONDS_DIGITS_MAX))
    .replace('why=FAILED', `why="${failedReason('ROLE' as 'agent').replace('ROLE', '$role')}"`)
    .replaceAll('UNFIT', quoted(UNFIT_REASON))
