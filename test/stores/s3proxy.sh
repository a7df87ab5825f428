#!/bin/bash
# S3Proxy on a directory. Needs a Java runtime of 17 or later. Usage and files: README.md.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")
version=2.9.0

case $1 in
  install)
    [ -s "$tools/s3proxy.jar" ] && exit
    mkdir -p "$tools"
    curl -fsS -o "$tools/partial" \
      "https://repo1.maven.org/maven2/org/gaul/s3proxy/$version/s3proxy-$version-jar-with-dependencies.jar"
    mv "$tools/partial" "$tools/s3proxy.jar"
    ;;
  up)
    mkdir -p "$3/data"
    cat >"$3/s3proxy.conf" <<CONF
s3proxy.endpoint=http://127.0.0.1:$4
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity=AKTEST0
s3proxy.credential=SKTEST0
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir=$3/data
CONF
    serve "$3" "$4" java -jar "$tools/s3proxy.jar" --properties "$3/s3proxy.conf"
    ;;
esac
