#!/bin/sh
# Switches from root to the owner of the project folder, then runs your command.
# As that user it starts itself again: on NFS root may not read your files, and no process stays root.
# It runs at every start: few processes, and nothing whose time grows with the number of files.
set -eu

# Process 1, until tini takes over: the kernel ignores signals that it does not catch.
trap 'exit 130' INT
trap 'exit 143' TERM

# A job may have replaced programs of the environment: root finds the system's alone, your user the environment's first.
case :$PATH: in *:/opt/venv/bin:*) path=$PATH ;; *) path=/opt/venv/bin:$PATH ;; esac
PATH=/usr/sbin:/usr/bin:/sbin:/bin

say() { printf 'entrypoint: %s' "$1" | LC_ALL=C /usr/bin/tr '\000-\037\177' ' ' >&2; echo >&2; }
die() { say "$2"; exit "$1"; }

check_id() {  # gosu accepts ids up to 2^31-1
    case $2 in
        *[!0-9]* | 0?* | ???????????*) ;;
        *) [ "$2" -gt 2147483647 ] || return 0 ;;
    esac
    die 64 "$1=$2 is not an id from 0 to 2147483647; take the output of 'id -u' and 'id -g', or leave it unset"
}

refuse_root() {  # a USER_ID=0 that code wrote to .env must not make the next run root on the mounted folders
    chosen=''
    case $uid:${owner% *} in 0:0) ;; 0:*) chosen=USER_ID ;; esac
    case $gid:${owner#* } in 0:0) ;; 0:*) chosen=${chosen:-GROUP_ID} ;; esac
    [ "$chosen" ] || return 0
    # CAP_DAC_OVERRIDE, from --cap-add or a plain `docker run`, shows that root was asked for.
    while read -r key bits _; do [ "$key" != CapEff: ] || break; done < /proc/self/status
    [ $((0x$bits & 2)) = 0 ] || return 0
    die 64 "$chosen=0 works only in a folder owned by root. Remove it from .env and your shell. For one root shell: docker compose run --rm --cap-add ALL -e USER_ID=0 app"
}

choose_ids() {  # sets uid and gid: USER_ID and GROUP_ID, else the owner of /code
    check_id USER_ID "${USER_ID:-0}"
    check_id GROUP_ID "${GROUP_ID:-0}"
    owner=$(stat -c '%u %g' "${OWNER_FROM:-/code}")
    uid=${USER_ID:-${owner% *}}
    gid=${GROUP_ID:-${owner#* }}
    # Group 0 can read root's files on the host: only with GROUP_ID=0.
    [ "$gid" != 0 ] || [ "${GROUP_ID:-}" ] || gid=$uid
{% if cookiecutter.__index_url %}
    # This group, and the user of this number, can read PIP_CONF and NETRC (docker/Dockerfile).
    [ "$gid" != 65533 ] || die 64 "GROUP_ID=65533 is the image's own group index; take the output of 'id -g', or leave it unset"
    [ "$uid" != 65533 ] || die 64 "USER_ID=65533 is reserved in this image; take the output of 'id -u', or leave it unset"
{% endif %}
    # On a rootless engine, root in the container is your user on the host; no other id owns /code.
    read -r inside outside _ < /proc/self/uid_map
    [ "$inside $outside" != '0 0' ] || { refuse_root; return 0; }
    case ${owner% *} in
        0) uid=0 ;;
        65534) echo 'entrypoint: this engine cannot act as the owner of /code, so the project is read-only here.' \
            'Rootless Docker: use a folder of yours. userns-remap: userns_mode: host in compose.project.yaml (docs/errors.md)' >&2 ;;
    esac
}

name_app() {  # writes the ids into the lines of `app`; fails on a read-only system
    # ids of the image, or of this container's first start
    grep -q "^app:x:$uid:$gid:" /etc/passwd || sed -i -e "s/^app:x:[0-9]*:[0-9]*:/app:x:$uid:$gid:/" \
        -e "s/^app:x:[0-9]*:$/app:x:$gid:/" /etc/passwd /etc/group 2>/dev/null
}

{% if cookiecutter.__index_url %}
read_login() {  # reads PIP_CONF and NETRC for `uv`, as root: your programs cannot open their folder
    [ -d /opt/index ] || return 0
    case ${1:-} in
        /usr/local/bin/uv) asked=yes ;;
        *) asked='' && [ "${SYNC_GROUP:-}" = dev ] || return 0 ;;  # terminals of the dev container skip this script
    esac
    given=''  # a setting that is empty is mounted as /dev/null
    while read -r _ _ _ root target _; do
        case "$root $target" in '/null /opt/index/'*) ;; *' /opt/index/'*) given=yes ;; esac
    done < /proc/self/mountinfo
    [ "$given" ] || return 0
    code=0
    /usr/bin/setpriv --reuid="$uid" --regid=index --groups="$gid" -- /usr/local/bin/with-index --keep-login || code=$?
    [ "$code" = 0 ] || [ -z "$asked" ] || exit "$code"
}

{% endif %}
step_down() {  # without chown: every uid can write /cache, the home and the environment
    more=''
    for group in $(id -G); do [ "$group" = 0 ] || more=$more,$group; done  # --group-add video
    # gosu takes name and groups from /etc/passwd and /etc/group alone.
    name_app && [ -z "$more" ] && named=yes || named=''
    PATH=$path
    if [ "$named" ]; then exec /usr/sbin/gosu app "$0" "$@"; fi
    [ "${HOME:-}" != /root ] || unset HOME  # as gosu does: it is root's
    exec /usr/bin/setpriv --reuid="$uid" --regid="$gid" --groups="$gid$more" -- "$0" "$@"
}

own_rights_only() {  # whether root has just SETGID, SETUID and SETPCAP of compose.yaml
    while read -r key bounding; do [ "$key" != CapBnd: ] || break; done < /proc/self/status
    [ "$bounding" = 00000000000001c0 ]
}

settle() {  # sets a user name and HOME: torch and Ray call getpass.getuser() on import
    export USER="${USER:-app}" LOGNAME="${LOGNAME:-app}"
    keep_home /home/app
    for HOME in "${HOME:-/}" /home/app /tmp /dev/shm; do [ ! -w "$HOME" ] || break; done
    export HOME
}

mounted() {  # whether something is mounted at $1; sets source to its device and path there
    while read -r _ _ device root target _; do
        [ "$target" != "$1" ] || { source="$device $root"; return 0; }
    done < /proc/self/mountinfo
    return 1
}

refuse_planted() {  # refuses symlinks that code in an earlier container may have left: the engine follows them
    place=/code
    case ${CACHE_FROM:-/} in
        /*) ;;  # a full path was typed
        *)
            IFS=/
            for folder in $CACHE_FROM; do
                place=$place/$folder
                [ ! -L "$place" ] || die 64 "$CACHE_FROM leads through a symlink, which may point anywhere. Replace it by a folder, or set CACHE_DIR in .env to the full path of its target"
            done
            unset IFS
            ;;
    esac
    # compose.guarded.yaml mounts itself and outputs/, which must lie beside it
    [ "${OWNER_FROM:-}" ] || return 0
    # shellcheck disable=SC2015  # any of the three refuses
    mounted /code/compose.guarded.yaml && guarded=$source && mounted "$OWNER_FROM" \
        && [ "$source" = "${guarded%/*}/outputs" ] \
        || die 64 "outputs is a symlink, or no folder of this project. Replace it by a folder: rm outputs && mkdir outputs"
}

keep_home() {  # moves HOME to /cache, so that caches below ~ outlive the container
    [ "${HOME:-$1}" = "$1" ] && mounted /cache || return 0
    kept=/cache/home-$user  # holds compiled code, so it is closed to other users
    [ -d "$kept" ] || /usr/bin/mkdir -m 0700 "$kept" 2>/dev/null || return 0
    # shellcheck disable=SC3067  # dash has -O
    [ -O "$kept" ] && [ ! -L "$kept" ] || return 0
    export HOME="$kept" TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$kept/.torchinductor}"
}

write_lock() {  # writes the image's uv.lock to a project without one: other machines then get the same versions
    [ -w . ] && [ -z "${OWNER_FROM:-}" ] && /usr/bin/cmp -s pyproject.toml /opt/pyproject.toml || return 0
    new=$(/usr/bin/mktemp .uv.lock.XXXXXX) || return 0
    if /usr/bin/cp /opt/uv.lock "$new" && /usr/bin/chmod 644 "$new" && /usr/bin/mv -nT "$new" uv.lock && [ ! -e "$new" ]; then
        echo 'entrypoint: wrote uv.lock, the versions in this image; commit it, so that every machine uses them' >&2
    fi
    /usr/bin/rm -f "$new"
}

check_zone() {  # the C library silently uses UTC for an unknown zone
    case ${TZ:-} in
        */*)
            [ -e "/usr/share/zoneinfo/${TZ#:}" ] || say "TZ=$TZ is not known in this image, so times are UTC. Take a name of /usr/share/zoneinfo; for old names (US/Pacific), add tzdata-legacy to docker/apt-packages.txt and rebuild"
            ;;
    esac
}

add_repository() {  # gives `pre-commit run` a temporary repository if git finds none in the container
    case "${1:-} ${2:-}" in 'pre-commit run') ;; *) return 0 ;; esac
    [ -x /usr/bin/git ] && ! /usr/bin/git rev-parse --git-dir >/dev/null 2>&1 || return 0
    say 'git finds no repository in the container, so pre-commit checks all files except those in .gitignore'
    unset GIT_INDEX_FILE
    GIT_DIR=$(/usr/bin/mktemp -d)
    export GIT_DIR GIT_WORK_TREE="$PWD"
    /usr/bin/git init --quiet && /usr/bin/git add --all
}

# tini forwards signals and reaps orphans; `docker exec` has one already. with-network ends with `exec`.
# shellcheck source=/dev/null
start() {
    # Backspace deletes a whole UTF-8 character, not one byte.
    [ ! -t 0 ] || /usr/bin/stty iutf8 2>/dev/null || true
    [ $$ != 1 ] || set -- /usr/bin/tini -- "$@"
    [ -z "$spent" ] || set -- /usr/bin/setpriv --bounding-set=-all --inh-caps=-all -- "$@"
    . /usr/local/bin/with-network
}

# Many engines allow 1024 open files; a data loader needs one for each batch.
# shellcheck disable=SC3045  # dash has -S and -H
more_files() {
    case $(ulimit -Sn) in
        ? | ?? | ??? | ????) ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)" ;;
    esac
}

run() {
    PATH=$path
    if [ $# = 0 ]; then
        # With `docker compose up` bash would end at once, without a message.
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
    if [ -x "$1" ]; then script=./$1; shift; start "$script" "$@"; fi  # a script of the project
    [ ! -e "$1" ] || die 126 "$1 is neither a .py file nor executable; try: chmod +x $1"
    die 127 "$1: no such command, and no such file in $PWD (your project folder is mounted at /code)"
}

refuse_planted

# From the kernel: `id` would be one more process.
while read -r key user _; do [ "$key" != Uid: ] || break; done < /proc/self/status
spent=''
# The image's uv, not one that a package brings.
case ${1:-} in uv) shift; set -- /usr/local/bin/uv "$@" ;; esac
if [ "$user" = 0 ]; then
    choose_ids
{% if cookiecutter.__index_url %}
    read_login "$@"
{% endif %}
    [ "$uid" = 0 ] || step_down "$@"
    own_rights_only && spent=yes  # your user is root: drop the entrypoint's capabilities before your program
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
