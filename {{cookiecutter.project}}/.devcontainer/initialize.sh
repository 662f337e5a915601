#!/bin/sh
# Runs on the host, before the dev container starts: writes to .env what Compose cannot find out.
set -eu
CDPATH='' cd "$(dirname "$0")/.."

sh docker/detect-accelerator.sh

# A number for this folder and for you. With it, two checkouts are two containers, and nobody gets
# a volume that holds somebody else's files.
checkout=$(printf '%s %s' "$(id -u)" "$PWD" | cksum | cut -d ' ' -f 1)
if [ "$(sed -n 's/^CHECKOUT=//p' .env 2>/dev/null | tail -n 1)" != "$checkout" ]; then
    # a last line without a newline must not swallow ours
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
    echo "CHECKOUT=$checkout" >> .env
fi
