#!/bin/sh
# Who you are, then what you run. Started as root, it steps down to the owner of the project and
# starts itself again as that user; a file system that root may not read (NFS) is no obstacle then.
set -eu

die() { echo "entrypoint: $2" >&2; exit "$1"; }

check_id() {  # gosu knows ids up to 2^31-1
    case $2 in
        *[!0-9]* | ???????????*) bad=yes ;;
        *) bad=$([ "$2" -le 2147483647 ] || echo yes) ;;
    esac
    [ -z "$bad" ] || die 64 "$1=$2 is not an id from 0 to 2147483647; take the output of 'id -u' and 'id -g', or leave it unset"
}

choose_ids() {  # sets uid and gid: USER_ID and GROUP_ID, else the owner of /code
    check_id USER_ID "${USER_ID:-0}"
    check_id GROUP_ID "${GROUP_ID:-0}"
    uid=${USER_ID:-$(stat -c %u /code)}
    gid=${GROUP_ID:-$(stat -c %g /code)}
    # A rootless engine's root is the host user; every other id would be a stranger to /code.
    read -r inside outside _ < /proc/self/uid_map
    if [ "$inside $outside" != '0 0' ] && [ "$(stat -c %u /code)" = 0 ]; then uid=0; fi
}

name_app() {  # the lines of `app` get the ids; on a read-only system they stay as they are
    sed -i -e "s/^app:x:[0-9]*:[0-9]*:/app:x:$uid:$gid:/" -e "s/^app:x:[0-9]*:$/app:x:$gid:/" \
        /etc/passwd /etc/group 2>/dev/null \
        && { mountpoint -q /home/app || chown "$uid:$gid" /home/app 2>/dev/null; }
}

step_down() {
    more=$(id -G | tr ' ' '\n' | grep -vx 0 | paste -sd,)  # --group-add video, render
    # gosu takes groups from /etc/group alone, and needs a name there.
    if name_app && [ -z "$more" ]; then exec gosu app "$0" "$@"; fi
    exec setpriv --reuid="$uid" --regid="$gid" --groups="$gid,0${more:+,$more}" -- "$0" "$@"
}

settle() {  # a name and a home: torch and Ray call getpass.getuser() while they are imported
    export USER="${USER:-app}" LOGNAME="${LOGNAME:-app}"
    for HOME in "${HOME:-/}" /home/app /tmp /dev/shm; do [ ! -w "$HOME" ] || break; done
    export HOME
}

run() {
    [ $# -gt 0 ] || exec bash
    case $1 in -*) exec python "$@" ;; esac
    if [ -f "$1" ]; then
        case $1 in *.py | *.pyz) exec python "$@" ;; esac
    elif [ -f "$1/__main__.py" ]; then
        exec python "$@"
    fi
    if which "$1" >/dev/null; then exec "$@"; fi
    [ ! -e "$1" ] || die 126 "$1 is neither Python nor executable; try: python $1, or chmod +x $1"
    die 127 "$1: no such command, and no such file in $PWD (your project folder is mounted at /code)"
}

if [ "$(id -u)" = 0 ]; then
    choose_ids
    [ "$uid" = 0 ] || step_down "$@"
else
    settle
fi
run "$@"
