#!/bin/sh
# Who you are, then what you run. Started as root, it steps down to the owner of the project and
# starts itself again as that user; so neither a file system that root may not read (NFS) nor the few
# capabilities that compose.yaml leaves to root are an obstacle, and no process stays root's.
# Every start pays for this: few processes, and nothing that depends on how much lies in a folder.
set -eu

# Until tini takes over this is process 1, which ignores what it does not catch.
trap 'exit 130' INT
trap 'exit 143' TERM

# Every program of the environment may have been replaced by a job: root finds the system's programs alone, you find
# the environment's first.
case :$PATH: in *:/opt/venv/bin:*) path=$PATH ;; *) path=/opt/venv/bin:$PATH ;; esac
PATH=/usr/sbin:/usr/bin:/sbin:/bin

say() { printf 'entrypoint: %s' "$1" | LC_ALL=C /usr/bin/tr '\000-\037\177' ' ' >&2; echo >&2; }
die() { say "$2"; exit "$1"; }

check_id() {  # gosu knows ids up to 2^31-1
    case $2 in
        *[!0-9]* | 0?* | ???????????*) ;;
        *) [ "$2" -gt 2147483647 ] || return 0 ;;
    esac
    die 64 "$1=$2 is not an id from 0 to 2147483647; take the output of 'id -u' and 'id -g', or leave it unset"
}

refuse_root() {  # a line that code wrote to .env must not make the next run root, or of root's group, on what is mounted
    chosen=''
    case $uid:${owner% *} in 0:0) ;; 0:*) chosen=USER_ID ;; esac
    case $gid:${owner#* } in 0:0) ;; 0:*) chosen=${chosen:-GROUP_ID} ;; esac
    [ "$chosen" ] || return 0
    # Whoever adds CAP_DAC_OVERRIDE, with --cap-add or a plain `docker run`, wants it.
    while read -r key bits _; do [ "$key" != CapEff: ] || break; done < /proc/self/status
    [ $((0x$bits & 2)) = 0 ] || return 0
    die 64 "$chosen=0 works in a folder of root's alone. Remove it from .env and your shell; a root shell, once: docker compose run --rm --cap-add ALL -e USER_ID=0 app"
}

choose_ids() {  # sets uid and gid: USER_ID and GROUP_ID, else the owner of /code
    check_id USER_ID "${USER_ID:-0}"
    check_id GROUP_ID "${GROUP_ID:-0}"
    owner=$(stat -c '%u %g' "${OWNER_FROM:-/code}")
    uid=${USER_ID:-${owner% *}}
    gid=${GROUP_ID:-${owner#* }}
    # Group 0 opens root's files on the host: it has to be asked for.
    [ "$gid" != 0 ] || [ "${GROUP_ID:-}" ] || gid=$uid
    # The group that opens PIP_CONF and NETRC (docker/Dockerfile).
    [ "$gid" != 65533 ] || die 64 "GROUP_ID=65533 is the image's own group index; take the output of 'id -g', or leave it unset"
    # A rootless engine's root is the host user; every other id would be a stranger to /code.
    read -r inside outside _ < /proc/self/uid_map
    [ "$inside $outside" != '0 0' ] || { refuse_root; return 0; }
    case ${owner% *} in
        0) uid=0 ;;
        65534) echo 'entrypoint: this engine cannot act as the owner of /code, so your files can be read at most.' \
            'Rootless: the folder is not yours. userns-remap: write userns_mode: host into compose.project.yaml (README.md)' >&2 ;;
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
        /usr/local/bin/uv) asked=yes ;;
        *) asked='' && [ "${SYNC_GROUP:-}" = dev ] || return 0 ;;  # whose terminals start without this script
    esac
    given=''  # what is not set is /dev/null
    while read -r _ _ _ root target _; do
        case "$root $target" in '/null /opt/index/'*) ;; *' /opt/index/'*) given=yes ;; esac
    done < /proc/self/mountinfo
    [ "$given" ] || return 0
    code=0
    /usr/bin/setpriv --reuid="$uid" --regid=index --groups="$gid" -- /usr/local/bin/with-index --keep-login || code=$?
    [ "$code" = 0 ] || [ -z "$asked" ] || exit "$code"
}

step_down() {  # nothing is given to app: /cache, its home and the environment are open to every uid
    more=''
    for group in $(id -G); do [ "$group" = 0 ] || more=$more,$group; done  # --group-add video
    # gosu takes the groups from /etc/group alone, and the name, too.
    name_app && [ -z "$more" ] && named=yes || named=''
    PATH=$path
    if [ "$named" ]; then exec /usr/sbin/gosu app "$0" "$@"; fi
    exec /usr/bin/setpriv --reuid="$uid" --regid="$gid" --groups="$gid$more" -- "$0" "$@"
}

own_rights_only() {  # whether root has compose.yaml's SETGID, SETUID and SETPCAP, and nobody has given it more
    while read -r key bounding; do [ "$key" != CapBnd: ] || break; done < /proc/self/status
    [ "$bounding" = 00000000000001c0 ]
}

settle() {  # a name and a home: torch and Ray call getpass.getuser() while they are imported
    export USER="${USER:-app}" LOGNAME="${LOGNAME:-app}"
    keep_home /home/app
    for HOME in "${HOME:-/}" /home/app /tmp /dev/shm; do [ ! -w "$HOME" ] || break; done
    export HOME
}

mounted() {  # whether something is mounted at $1; source is then its device and its path there
    while read -r _ _ device root target _; do
        [ "$target" != "$1" ] || { source="$device $root"; return 0; }
    done < /proc/self/mountinfo
    return 1
}

refuse_planted() {  # symlinks that code in an earlier container may have left in the project: the engine follows them
    place=/code
    case ${CACHE_FROM:-/} in
        /*) ;;  # somebody typed it
        *)
            IFS=/
            for folder in $CACHE_FROM; do
                place=$place/$folder
                [ ! -L "$place" ] || die 64 "$CACHE_FROM leads through a symlink, and could lead anywhere. Replace it by a folder, or set CACHE_DIR in .env to the full path of the folder it stands for"
            done
            unset IFS
            ;;
    esac
    # compose.guarded.yaml mounts itself and outputs/, which must be its neighbour
    [ "${OWNER_FROM:-}" ] || return 0
    # shellcheck disable=SC2015  # any of the three refuses
    mounted /code/compose.guarded.yaml && guarded=$source && mounted "$OWNER_FROM" \
        && [ "$source" = "${guarded%/*}/outputs" ] \
        || die 64 "outputs is no folder of this project's own, and could lead anywhere. Replace it by a folder: rm outputs && mkdir outputs"
}

keep_home() {  # instead of the image's: in /cache, so that what packages keep below ~ outlives the container
    [ "${HOME:-$1}" = "$1" ] && mounted /cache || return 0
    kept=/cache/home-$user  # with compiled code in it, so closed to other users
    [ -d "$kept" ] || /usr/bin/mkdir -m 0700 "$kept" 2>/dev/null || return 0
    # shellcheck disable=SC3067  # dash has -O
    [ -O "$kept" ] && [ ! -L "$kept" ] || return 0
    export HOME="$kept" TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$kept/.torchinductor}"
}

write_lock() {  # the lock file of the image's build, for a project without one: the next machine gets the same packages
    [ -w . ] && [ -z "${OWNER_FROM:-}" ] && /usr/bin/cmp -s pyproject.toml /opt/pyproject.toml || return 0
    new=$(/usr/bin/mktemp .uv.lock.XXXXXX) || return 0
    if /usr/bin/cp /opt/uv.lock "$new" && /usr/bin/chmod 644 "$new" && /usr/bin/mv -nT "$new" uv.lock && [ ! -e "$new" ]; then
        echo 'entrypoint: wrote uv.lock, the versions in this image; commit it, so that every machine has them' >&2
    fi
    /usr/bin/rm -f "$new"
}

check_zone() {  # the C library takes a zone that it does not find for UTC
    case ${TZ:-} in
        */*)
            [ -e "/usr/share/zoneinfo/${TZ#:}" ] || say "TZ=$TZ is not known in this image, so times are UTC; take a name of /usr/share/zoneinfo (older names, such as US/Pacific: add tzdata-legacy to docker/apt-packages.txt and rebuild)"
            ;;
    esac
}

add_repository() {  # for `pre-commit run`, which asks git for the files, and where git finds no repository from here
    case "${1:-} ${2:-}" in 'pre-commit run') ;; *) return 0 ;; esac
    [ -x /usr/bin/git ] && ! /usr/bin/git rev-parse --git-dir >/dev/null 2>&1 || return 0
    say 'git finds no repository in the container, so pre-commit checks all files but those in .gitignore'
    unset GIT_INDEX_FILE
    GIT_DIR=$(/usr/bin/mktemp -d)
    export GIT_DIR GIT_WORK_TREE="$PWD"
    /usr/bin/git init --quiet && /usr/bin/git add --all
}

# tini passes signals on, which as root it could not, and reaps what was left behind; `docker exec` has one already.
# with-network ends with what it is given: no process of its own.
# shellcheck source=/dev/null
start() {
    # Backspace takes a whole character; the engine's terminals begin with bytes.
    [ ! -t 0 ] || /usr/bin/stty iutf8 2>/dev/null || true
    [ $$ != 1 ] || set -- /usr/bin/tini -- "$@"
    [ -z "$spent" ] || set -- /usr/bin/setpriv --bounding-set=-all --inh-caps=-all -- "$@"
    . /usr/local/bin/with-network
}

# Many engines give 1024 open files, and a data loader keeps one for each batch that it holds.
# shellcheck disable=SC3045  # dash has -S and -H
more_files() {
    case $(ulimit -Sn) in
        ? | ?? | ??? | ????) ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)" ;;
    esac
}

run() {
    PATH=$path
    if [ $# = 0 ]; then
        # `docker compose up` gives neither; bash would end at once and say nothing
        # shellcheck disable=SC3013  # dash has -ef
        [ ! /dev/stdin -ef /dev/null ] \
            || die 64 'no command and no terminal. A shell: docker compose run --rm app. A container that waits: docker compose run --detach --name NAME app sleep infinity'
        start bash
    fi
    case $1 in -*) start python "$@" ;; esac
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

refuse_planted

# The kernel's own word, and no process: `id` is one, and no folder is sure to be root's (userns-remap).
while read -r key user _; do [ "$key" != Uid: ] || break; done < /proc/self/status
spent=''
# Not one that a package brings: it may get a login.
case ${1:-} in uv) shift; set -- /usr/local/bin/uv "$@" ;; esac
if [ "$user" = 0 ]; then
    choose_ids
    read_login "$@"
    [ "$uid" = 0 ] || step_down "$@"
    own_rights_only && spent=yes  # you are root: what the entrypoint had is not for your programs
    keep_home /root
else
    settle
fi
unset CACHE_FROM
more_files
[ -e uv.lock ] || [ "$PWD" != /code ] || write_lock
check_zone
add_repository "$@"
run "$@"
