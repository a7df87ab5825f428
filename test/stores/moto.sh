#!/bin/bash
# moto, which keeps all data in memory. Usage and files: README.md.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")

case $1 in
  install)
    [ -x "$tools/bin/moto_server" ] && exit
    python_package "$tools" 'moto[s3,server]==5.2.5'
    ;;
  up)
    mkdir -p "$3"
    serve "$3" "$4" "$tools/bin/moto_server" -H 127.0.0.1 -p "$4"
    ;;
esac
