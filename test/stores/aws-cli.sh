#!/bin/bash
# The AWS command line, not a store: a second, independent writer to a bucket. `install` only.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")
[ -x "$tools/bin/aws" ] || python_package "$tools" 'awscli==1.46.3'
