#!/bin/bash
# versitygw on a directory, with default settings. Usage and files: README.md.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")

case $1 in
  install)
    [ -x "$tools/versitygw" ] && exit
    mkdir -p "$tools"
    go_toolchain "$tools" 1.26.6
    go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
    # Two gigabytes that only the build needs.
    rm -rf "$tools/go" "$tools/go-cache" "$tools/go-venv"
    ;;
  up)
    mkdir -p "$3/data"
    export ROOT_ACCESS_KEY=AKTEST0 ROOT_SECRET_KEY=SKTEST0
    serve "$3" "$4" "$tools/versitygw" --port "127.0.0.1:$4" posix "$3/data"
    ;;
esac
