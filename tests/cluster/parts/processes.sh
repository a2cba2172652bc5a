# Programs of the cluster: start, know whether alive, stop, wait for. Sourced by ../cluster.
# Each has a folder in $R/run/NAME: command (one word per line), pid, log.

alive() { # NAME
  local pid state
  pid=$(cat "$R/run/$1/pid" 2>/dev/null) || return 1
  # kill -0 would also succeed on a zombie that nobody has collected yet
  state=$(awk '/^State:/{print $2}' "/proc/$pid/status" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ] || return 1
  # the number may by now be another program's
  tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | cmp -s - "$R/run/$1/command"
}

launch() { # NAME COMMAND...
  local name=$1
  shift
  mkdir -p "$R/run/$name"
  printf '%s\n' "$@" >"$R/run/$name/command"
  again "$name"
}

again() { # NAME: start with the command line it had
  local command
  alive "$1" && return 0
  mapfile -t command <"$R/run/$1/command"
  # Own session: a Ctrl-C meant for the tests must not reach the cluster. No inherited lock, input or output.
  PATH=$BIN:$PATH setsid "${command[@]}" >>"$R/run/$1/log" 2>&1 </dev/null 9>&- &
  echo $! >"$R/run/$1/pid"
  disown
  # Until setsid has become the program, alive would not recognise it.
  local tries=100
  until alive "$1" || [ $((tries--)) = 0 ] || [ ! -e "/proc/$!" ]; do sleep 0.02; done
}

halt() { # NAME [SIGNAL [SECONDS]]
  local pid tries=$((${3:-10} * 20))
  alive "$1" || { rm -f "$R/run/$1/pid"; return 0; }
  pid=$(cat "$R/run/$1/pid")
  kill -"${2:-TERM}" "$pid" 2>/dev/null || true
  while alive "$1" && [ $((tries--)) -gt 0 ]; do sleep 0.05; done
  if alive "$1"; then
    say "$1 does not end, killing it"
    kill -KILL "$pid" 2>/dev/null || true
    while alive "$1"; do sleep 0.05; done
  fi
  rm -f "$R/run/$1/pid"
}

await() { # SECONDS NAME COMMAND...: until COMMAND succeeds; NAME must stay alive meanwhile
  local seconds=$1 name=$2 end=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name"; then
      tail -n 15 "$R/run/$name/log" >&2
      fail "$name ended; its log is $R/run/$name/log"
    fi
    [ "$SECONDS" -lt "$end" ] || { tail -n 15 "$R/run/$name/log" >&2; fail "$name was not ready within $seconds s; its log is $R/run/$name/log"; }
    sleep 0.1
  done
}

answers() { # URL: some HTTP server says 200 there
  curl -sf -o /dev/null --max-time 2 --insecure "$1"
}
