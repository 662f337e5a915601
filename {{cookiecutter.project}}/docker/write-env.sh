#!/bin/sh
# Runs on the host: writes to .env what Compose cannot find out. VS Code runs it at each start; after a
# clone, or in a copy of this folder, it is for you to run: sh docker/write-env.sh
set -eu
CDPATH='' cd "$(dirname "$0")/.."

# The end of the names of images and containers: a number for this folder and for you, so that nobody
# gets the image, the container or the volume of another checkout, or of somebody else on the same engine.
checkout=-$(printf '%s %s' "$(id -u)" "$PWD" | cksum | cut -d ' ' -f 1)
if [ "$(sed -n 's/^CHECKOUT=//p' .env 2>/dev/null | tail -n 1)" != "$checkout" ]; then
    # a last line without a newline must not swallow ours
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
    echo "CHECKOUT=$checkout" >> .env
fi

exec sh docker/detect-accelerator.sh
