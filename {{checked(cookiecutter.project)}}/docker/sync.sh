#!/bin/sh
# sync-environment [--packages] OPTION…: makes /opt/venv hold what pyproject.toml and uv.lock say.
# Runs in a build step, in the project folder; the options go to `uv sync`.
#   --packages   without the project and the packages in its folders, whose files are not copied yet
#   --lock       only writes uv.lock where there is none
set -eu

# Writable for all: a package that saves beside itself (a checkpoint in site-packages) works for any uid.
sync() { umask 0000; uv sync "$@"; }
export PATH="/opt/venv/bin:$PATH" UV_WITHOUT_DOCTOR=1  # the doctor has a step of its own

lock() {
    [ ! -f uv.lock ] || return 0
    echo "sync: no uv.lock, so today's versions are installed; the first 'docker compose run' writes uv.lock" >&2
    if ! uv lock; then
        if grep -q 'path = \|workspace = true' pyproject.toml; then
            echo 'sync: a package in a folder of this project needs uv.lock, which uv add has written: put it back' >&2
        fi
        exit 1
    fi
}

if [ "${1:-}" = --lock ]; then lock; exit; fi
if [ "${1:-}" = --packages ]; then
    shift
    lock
    install -m 0644 pyproject.toml uv.lock /opt/
    sync --frozen --no-install-project --no-install-local "$@"
    # what comes from uv's cache has the mode that it was unpacked with
    exec find /opt/venv ! -type l ! -perm -o=w -exec chmod o+w {} +
fi

[ -f uv.lock ] || cp /opt/uv.lock uv.lock
if ! sync --locked --inexact "$@"; then
    echo 'sync: if uv.lock is out of date: docker compose run --rm app uv lock (no image yet: move uv.lock away for one build)' >&2
    exit 1
fi
