#!/bin/bash
# LocalStack without a container, with default settings. Its sources need Python 3.12 or later: PYTHON names one, by default
# python3.13. Usage and files: README.md.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")

case $1 in
  install)
    [ -x "$tools/bin/localstack-supervisor" ] && exit
    # Later versions of the first three lack functions that it calls, and it does not declare the fourth.
    PYTHON=${PYTHON:-python3.13} python_package "$tools" 'localstack-core[runtime]==4.14.0' \
      'cbor2==5.6.5' 'pyopenssl==24.3.0' 'cryptography==44.0.3' 'service-identity==24.2.0'
    ;;
  up)
    mkdir -p "$3/data"
    export GATEWAY_LISTEN=127.0.0.1:$4 LOCALSTACK_SERVICES=s3 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1
    export TMPDIR=$3/data XDG_CACHE_HOME=$3/data FILESYSTEM_ROOT=$3/data
    serve "$3" "$4" "$tools/bin/python" -m localstack.runtime.main
    # It listens before it can serve requests.
    for _ in $(seq 600); do
      curl -fsS "http://127.0.0.1:$4/_localstack/health" 2>/dev/null | grep -qE '"s3": ?"(available|running)"' && exit
      sleep 0.2
    done
    echo "LocalStack's S3 is not available" >&2
    exit 1
    ;;
esac
