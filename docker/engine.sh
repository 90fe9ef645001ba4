#!/usr/bin/env bash
# Brings up a container engine where none answers: installs Debian's packages as root and runs dockerd in the background.
# Knows nothing of images. `engine.sh start` is safe to repeat; `engine.sh stop` ends only a daemon that `start` began.
set -euo pipefail

DATA=${ENGINE_DATA:-/var/lib/docker}
PID_FILE=${ENGINE_PID_FILE:-/run/warmstart-dockerd.pid}
LOG=${ENGINE_LOG:-/var/log/warmstart-dockerd.log}
PACKAGES=(docker.io iptables docker-compose debootstrap)

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

ours() { [ -s "$PID_FILE" ] && [ "$(cat "/proc/$(cat "$PID_FILE")/comm" 2>/dev/null)" = dockerd ]; }

needs_root() {
  [ "$(id -u)" = 0 ] && return
  echo "No container engine answers. As root: apt-get install -y ${PACKAGES[*]}; then start the engine: docker/engine.sh start" >&2
  exit 1
}

install_packages() {
  local tool
  for tool in dockerd iptables docker-compose debootstrap; do
    command -v "$tool" >/dev/null || { apt-get -q update; apt-get -q install -y --no-install-recommends "${PACKAGES[@]}"; return; }
  done
}

start() {
  answers && return
  needs_root
  install_packages
  dockerd --data-root "$DATA" --pidfile "$PID_FILE" --storage-driver overlay2 >>"$LOG" 2>&1 </dev/null &
  for _ in $(seq 100); do
    answers && return
    kill -0 $! 2>/dev/null || break
    sleep 0.3
  done
  echo "dockerd did not come up; the end of $LOG:" >&2
  tail -n 20 "$LOG" >&2
  exit 1
}

stop() {
  ours || return 0
  local pid
  pid=$(cat "$PID_FILE")
  kill "$pid"
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.3
  done
  echo "dockerd (process $pid) has not ended within 30 s" >&2
  exit 1
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  status) answers && echo "an engine answers$(ours && echo ", started by this script")" ;;
  *) echo "usage: $0 start|stop|status" >&2; exit 2 ;;
esac
