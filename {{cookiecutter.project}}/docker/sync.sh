#!/bin/sh
# sync-environment OPTION…: makes /opt/venv hold what pyproject.toml and uv.lock say.
# Runs in a build step, in the project folder; the options go to `uv sync`.
set -eu

# Group-writable: a package that saves beside itself (a checkpoint in site-packages) works for any uid.
umask 0002

if [ -f uv.lock ]; then
    if ! uv sync --locked "$@"; then
        echo 'sync: if uv.lock is out of date: docker compose run --rm app uv lock (no image yet: move uv.lock away for one build)' >&2
        exit 1
    fi
else
    echo "sync: no uv.lock, so today's versions are installed. To pin them: docker compose run --rm app uv lock" >&2
    uv sync "$@"
    rm uv.lock
fi
