#!/bin/bash
# The AWS command line, which is no store: what anybody else writes to a bucket with. `install` only.
set -euo pipefail
source "$(dirname "$0")/serve.sh"
tools=$(readlink -m "$2")
[ -x "$tools/bin/aws" ] || python_package "$tools" 'awscli==1.46.3'
