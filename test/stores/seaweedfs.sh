#!/bin/bash
# SeaweedFS: master, volume, filer and S3 in one process, with default settings. Usage and files: README.md.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")
# The tags are not Go versions, hence this version name.
version=v0.0.0-20261109003541-7506e5f91cd6

case $1 in
  install)
    [ -x "$tools/weed" ] && exit
    mkdir -p "$tools"
    go_toolchain "$tools" 1.26.6
    # Not with `go install`, which refuses modules with replace directives.
    cd "$tools"
    go mod download "github.com/seaweedfs/seaweedfs@$version"
    cp -r "$tools/go/pkg/mod/github.com/seaweedfs/seaweedfs@$version" "$tools/source"
    (cd "$tools/source" && go build -o "$tools/weed" ./weed)
    rm -rf "$tools/go" "$tools/go-cache" "$tools/go-venv" "$tools/source"
    ;;
  up)
    mkdir -p "$3/data"
    export AWS_ACCESS_KEY_ID=AKTEST0 AWS_SECRET_ACCESS_KEY=SKTEST0
    # Each port also uses the one 10000 above it for gRPC.
    serve "$3" "$4" "$tools/weed" server -dir="$3/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
      -master.port="$(($4 + 1))" -volume.port="$(($4 + 2))" -volume.max=0 -filer -filer.port="$(($4 + 3))" \
      -s3 -s3.port="$4"
    ;;
esac
