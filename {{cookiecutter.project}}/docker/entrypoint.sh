#!/bin/sh
# Who you are, then what you run. Started as root, it steps down to the owner of the project and
# starts itself again as that user; so neither a file system that root may not read (NFS) nor the few
# capabilities that compose.yaml leaves to root are an obstacle, and no process stays root's.
# Every start pays for this: few processes, and nothing that depends on how much lies in a folder.
set -eu

# Until tini takes over this is process 1, which ignores what it does not catch.
trap 'exit 130' INT
trap 'exit 143' TERM

# Your PATH begins with the environment, where packages may put anything: what runs as root is the system's.
path=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin

die() { printf 'entrypoint: %s' "$2" | /usr/bin/tr '\n' ' ' >&2; echo >&2; exit "$1"; }

check_id() {  # gosu knows ids up to 2^31-1
    case $2 in
        *[!0-9]* | 0?* | ???????????*) ;;
        *) [ "$2" -gt 2147483647 ] || return 0 ;;
    esac
    die 64 "$1=$2 is not an id from 0 to 2147483647; take the output of 'id -u' and 'id -g', or leave it unset"
}

choose_ids() {  # sets uid and gid: USER_ID and GROUP_ID, else the owner of /code
    check_id USER_ID "${USER_ID:-0}"
    check_id GROUP_ID "${GROUP_ID:-0}"
    owner=$(stat -c '%u %g' /code)
    uid=${USER_ID:-${owner% *}}
    gid=${GROUP_ID:-${owner#* }}
    # A rootless engine's root is the host user; every other id would be a stranger to /code.
    read -r inside outside _ < /proc/self/uid_map
    [ "$inside $outside" != '0 0' ] || return 0
    case ${owner% *} in
        0) uid=0 ;;
        65534) echo 'entrypoint: this engine cannot act as the owner of /code, so your files can be read at most.' \
            'Rootless: the folder is not yours. userns-remap: write userns_mode: host into compose.override.yaml (README.md)' >&2 ;;
    esac
}

name_app() {  # gives the ids to the lines of `app`, if it has others; fails on a read-only system
    # those of the image, or of this container's first start
    grep -q "^app:x:$uid:$gid:" /etc/passwd || sed -i -e "s/^app:x:[0-9]*:[0-9]*:/app:x:$uid:$gid:/" \
        -e "s/^app:x:[0-9]*:$/app:x:$gid:/" /etc/passwd /etc/group 2>/dev/null
}

read_login() {  # of PIP_CONF and NETRC what `uv` needs, while root can: their folder is closed to your programs
    [ -d /opt/index ] || return 0
    case ${1:-} in
        uv | /usr/local/bin/uv) ;;
        *) [ "${SYNC_GROUP:-}" = dev ] || return 0 ;;  # whose terminals start without this script
    esac
    given=''  # what is not set is /dev/null
    while read -r _ _ _ root target _; do
        case "$root $target" in '/null /opt/index/'*) ;; *' /opt/index/'*) given=yes ;; esac
    done < /proc/self/mountinfo
    [ "$given" ] || return 0
    /usr/bin/setpriv --reuid="$uid" --regid="$gid" --groups=index -- /usr/local/bin/with-index --keep-login || code=$?
    [ -z "${code:-}" ] || [ "${1:-}" != uv ] || exit "$code"
}

step_down() {  # nothing is given to app: /cache is everyone's, and its home is open to group 0, which every uid is in
    more=''
    for group in $(id -G); do [ "$group" = 0 ] || more=$more,$group; done  # --group-add video
    # gosu takes the groups from /etc/group alone, and the name, too.
    name_app && [ -z "$more" ] && named=yes || named=''
    PATH=$path
    if [ "$named" ]; then exec /usr/sbin/gosu app "$0" "$@"; fi
    exec /usr/bin/setpriv --reuid="$uid" --regid="$gid" --groups="$gid,0$more" -- "$0" "$@"
}

settle() {  # a name and a home: torch and Ray call getpass.getuser() while they are imported
    export USER="${USER:-app}" LOGNAME="${LOGNAME:-app}"
    keep_home /home/app
    for HOME in "${HOME:-/}" /home/app /tmp /dev/shm; do [ ! -w "$HOME" ] || break; done
    export HOME
}

mounted() { while read -r _ _ _ _ target _; do [ "$target" != "$1" ] || return 0; done < /proc/self/mountinfo; return 1; }

keep_home() {  # instead of the image's: in /cache, so that what packages keep below ~ outlives the container
    [ "${HOME:-$1}" = "$1" ] && mounted /cache || return 0
    kept=/cache/home-$user  # with compiled code in it, so closed to other users
    [ -d "$kept" ] || /usr/bin/mkdir -m 0700 "$kept" 2>/dev/null || return 0
    # shellcheck disable=SC3067  # dash has -O
    [ -O "$kept" ] && [ ! -L "$kept" ] || return 0
    export HOME="$kept" TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$kept/.torchinductor}"
}

write_lock() {  # the lock file of the image's build, for a project without one: the next machine gets the same packages
    [ -w . ] && /usr/bin/cmp -s pyproject.toml /opt/pyproject.toml || return 0
    new=$(/usr/bin/mktemp .uv.lock.XXXXXX) || return 0
    if /usr/bin/cp /opt/uv.lock "$new" && /usr/bin/chmod 644 "$new" && /usr/bin/mv -nT "$new" uv.lock && [ ! -e "$new" ]; then
        echo 'entrypoint: wrote uv.lock, the versions in this image; commit it, so that every machine has them' >&2
    fi
    /usr/bin/rm -f "$new"
}

# tini passes signals on, which as root it could not, and reaps what was left behind.
# with-network ends with what it is given: no process of its own.
# shellcheck source=/dev/null
start() { set -- /usr/bin/tini -- "$@"; . /usr/local/bin/with-network; }

run() {
    PATH=$path
    [ $# -gt 0 ] || start bash
    case $1 in
        -*) start python "$@" ;;
        uv) shift; start /usr/local/bin/uv "$@" ;;  # not one that a package brings: it may get a login
    esac
    if [ -f "$1" ]; then
        case $1 in *.py | *.pyz) start python "$@" ;; esac
    elif [ -f "$1/__main__.py" ]; then
        start python "$@"
    fi
    if /usr/bin/which "$1" >/dev/null; then start "$@"; fi
    [ ! -d "$1" ] || die 126 "$1 is a folder without a __main__.py"
    if [ -x "$1" ]; then script=./$1; shift; start "$script" "$@"; fi  # one of the project's own
    [ ! -e "$1" ] || die 126 "$1 is neither a .py file nor executable; try: chmod +x $1"
    die 127 "$1: no such command, and no such file in $PWD (your project folder is mounted at /code)"
}

# The kernel's own word, and no process: `id` is one, and no folder is sure to be root's (userns-remap).
while read -r key user _; do [ "$key" != Uid: ] || break; done < /proc/self/status
if [ "$user" = 0 ]; then
    choose_ids
    read_login "$@"
    [ "$uid" = 0 ] || step_down "$@"
    keep_home /root
else
    settle
fi
[ -e uv.lock ] || [ "$PWD" != /code ] || write_lock
run "$@"
