#!/bin/sh
# with-node.sh WHAT COMMAND...: runs the command where Node 20.19 or later and npm are there. Where they are not it says that
# WHAT is skipped; in CI that is an error.
what=$1
shift
if command -v npm >/dev/null && node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; then
    exec "$@"
fi
echo "*** SKIPPED: $what. It needs Node 20.19 or later with npm; here is $(node --version 2>/dev/null || echo none). ***" >&2
[ -z "${CI:-}" ]
