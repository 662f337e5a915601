#!/bin/sh
# Writes this machine's settings to .env: CHECKOUT, BUILD_CACHE, TZ, GIT_REPOSITORY, ACCELERATOR. Runs on the host.
# VS Code runs it at each start. After a clone or a copy of this folder, run: sh docker/write-env.sh
set -eu
CDPATH='' cd -P "$(dirname "$0")/.."

say() { printf 'write-env: %s' "$1" | LC_ALL=C tr -d '[:cntrl:]' >&2; echo >&2; }

case $PWD/ in
    *[[:cntrl:]]* | *%[!0-9A-Fa-f]* | *%?[!0-9A-Fa-f]*)
        say 'the path of this folder has a % or a control character in it, which Compose cannot handle: rename the folder'
        exit 64
        ;;
    *\$*) say 'VS Code opens no dev container in a folder with a $ in its path. Rename the folder, or use docker compose' ;;
esac

setting() {  # prints a setting as Compose reads .env: the last line wins; no quotes, comments, blanks, `export`
    # shellcheck disable=SC2002  # < .env fails where there is none
    cat .env 2>/dev/null | LC_ALL=C tr -d "\r\"'" | LC_ALL=C sed -n \
        -e "1s/^$(printf '\357\273\277')//" \
        -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//' -e 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}//' \
        -e "s/^$1[[:space:]]*[=:][[:space:]]*//p" | tail -n 1
}

# A container can put a symlink here, and writing would change a file of yours elsewhere.
if [ -L .env ] || { [ -e .env ] && [ ! -f .env ]; }; then
    say '.env is a symlink or no file, so nothing was written. Look at it (ls -l .env), then replace it by a file'
    exit 64
fi

if [ -e .env ] && { [ ! -r .env ] || [ ! -w .env ]; }; then  # sudo wrote it
    say ".env is not yours, so nothing was written. Type: sudo chown \"\$(id -u)\" .env"
    exit 77
fi

add() {  # appends a line; .env may hold passwords, so only you can read a new one
    [ -e .env ] || (umask 077 && set -C && : > .env)
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
    printf '%s\n' "$1" >> .env
}

# A suffix for image and container names: two checkouts, or two users, must not share them. The shell wins over .env.
kept=''  # in a copy: the settings of the other machine, if it was one
if [ -z "${CHECKOUT+set}" ]; then
    checkout=-$(printf '%s %s' "$(id -u)" "$PWD" | cksum | cut -d ' ' -f 1)
    case $(setting CHECKOUT) in
        "$checkout" | *[!0-9-]*) ;;  # a name of yours stays
        '') add "CHECKOUT=$checkout" ;;
        *)
            zone=$(setting TZ)
            kept="ACCELERATOR=$(setting ACCELERATOR)${zone:+ and TZ=$zone}"
            add "CHECKOUT=$checkout"
            ;;
    esac
fi

# Any Dockerfile on this engine can mount a build cache by its name, so the name is random.
if [ -z "${BUILD_CACHE+set}" ] && [ -z "$(setting BUILD_CACHE)" ]; then
    add "BUILD_CACHE=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"
fi

# The time zone: /etc/localtime is a link to it.
if [ -z "${TZ+set}" ] && ! grep -Eq '^[[:space:]]*(export[[:space:]]+)?TZ[[:space:]]*[=:]' .env 2>/dev/null; then
    zone=$(readlink /etc/localtime 2>/dev/null) || zone=''
    case $zone in
        *zoneinfo/*UTC) ;;  # as without TZ
        *zoneinfo/*[!A-Za-z0-9/_+-]*) ;;
        *zoneinfo/?*) add "TZ=${zone##*zoneinfo/}" ;;
    esac
fi

# For git in the dev container: a worktree's .git names a folder elsewhere, which must be mounted, too.
repository=''
case $([ -L .git ] || [ ! -f .git ] || cat .git) in
    *[[:cntrl:]]*) ;;
    'gitdir: /'*/worktrees/*)
        worktree=$(cat .git) && worktree=${worktree#gitdir: } && elsewhere=${worktree%/worktrees/*}
        # A container may have written that file: accept only a repository that names this folder, too.
        case $worktree/ in
            */../* | */./* | "$PWD"/*) ;;
            *)
                if [ -f "$worktree/gitdir" ] && [ "$(cat "$worktree/gitdir")" = "$PWD/.git" ] \
                    && [ "$(cd -P "$elsewhere" && pwd)" = "$elsewhere" ]; then repository=$elsewhere; fi
                ;;
        esac
        ;;
esac
if [ -z "${GIT_REPOSITORY+set}" ]; then
    case $repository in
        *"'"*) quoted=\"$(printf %s "$repository" | sed 's/[\\"$]/\\&/g')\" ;;
        ?*) quoted="'$repository'" ;;
        *) quoted='' ;;
    esac
    [ "$(sed -n 's/^GIT_REPOSITORY=//p' .env 2>/dev/null | tail -n 1)" = "$quoted" ] || add "GIT_REPOSITORY=$quoted"
fi
if [ -z "$repository" ] && { [ -L .git ] || [ ! -d .git ]; } && git rev-parse --git-dir >/dev/null 2>&1; then
    say 'the git repository of this folder lies outside of it, and containers do not see it: use git on the host'
fi

name_gpus() {  # for ACCELERATOR=cdi: writes one setting for each GPU of GPU_IDS=0,1
    case $(setting GPU_IDS) in *,*) ;; *) return 0 ;; esac
    IFS=, && set -f
    # shellcheck disable=SC2046  # split on purpose
    set -- $(setting GPU_IDS | tr -d ' ')
    unset IFS && set +f
    [ $# -gt 1 ] || return 0
    if [ $# -gt 4 ]; then
        say "ACCELERATOR=cdi takes up to four GPUs, or all; GPU_IDS in .env has $#. Write fewer, or GPU_IDS=all"; exit 64
    fi
    # on a full disk the old .env must stay, so write a new file first
    new=$(mktemp ./.env.XXXXXX)
    grep -vE '^[[:space:]]*(export[[:space:]]+)?(GPU_IDS|SECOND_GPU|THIRD_GPU|FOURTH_GPU)[[:space:]]*[=:]' .env > "$new" \
        || [ $? = 1 ] || { rm -f "$new"; exit 1; }
    mv "$new" .env
    add "GPU_IDS=$1"
    add "SECOND_GPU=nvidia.com/gpu=$2"
    if [ $# -gt 2 ]; then add "THIRD_GPU=nvidia.com/gpu=$3"; fi
    if [ $# -gt 3 ]; then add "FOURTH_GPU=nvidia.com/gpu=$4"; fi
    say "wrote GPU_IDS and SECOND_GPU to .env: with ACCELERATOR=cdi each GPU needs its own setting"
}

# A choice in .env is kept; without the line, the engine is asked again.
chosen=$(setting ACCELERATOR)
case $chosen in
    nvidia | cdi | cpu)
        [ ! "$kept" ] || say ".env is from another folder or user and keeps $kept. If that is wrong here, remove it, then: sh docker/write-env.sh"
        ;;
esac
case $chosen in
    nvidia | cpu) exit 0 ;;
    cdi) name_gpus; exit 0 ;;
    ?*) say "ACCELERATOR=$chosen in .env is unknown; write nvidia, cdi or cpu, or remove the line"; exit 64 ;;
esac

# As JSON, since older engines lack some field names. Without an engine, Docker up to 26 still exits with 0.
ask() { engine=$("$1" info --format '{{json .}}' 2>&1) || engine="no answer: $engine"; }
client=docker && ask docker
if ! command -v docker >/dev/null 2>&1 && command -v podman >/dev/null 2>&1; then client=podman && ask podman; fi
case $engine in
    'no answer: '*'permission denied while'* | *'"ServerErrors":["'*'permission denied while'*)
        say 'no permission to use the Docker Engine, so ACCELERATOR was not written. Join the group docker, then: sh docker/write-env.sh'
        exit 0
        ;;
    'no answer: '* | *'"ServerErrors":["'*)
        say 'neither Docker nor Podman answers, so ACCELERATOR was not written. Start one of them, then: sh docker/write-env.sh'
        exit 0
        ;;
esac
# from `podman info`, and from a Podman that answers the docker command
case $engine in *'"buildahVersion":'* | *'"krun":'*) podman=yes ;; *) podman='' ;; esac

# `docker info` also lists a plugin that does not run, so ask Compose itself. 2.17 is the oldest tested version.
if [ "$podman" ]; then
    # `podman compose` names the program that it starts; Podman before 4.7 lacks the command.
    answer=$("$client" compose version 2>&1) || answer='"podman-compose"'
    case $answer in
        *'podman-compose"'*) say 'Podman has no Docker Compose, and this project needs it (podman-compose is not enough): install docker-compose' ;;
        *) say "before the first run: $client compose -f compose.yaml -f docker/podman.yaml build app" ;;
    esac
elif compose=$(docker compose version --short 2>/dev/null); then
    case ${compose#v} in
        2.[0-9].* | 2.1[0-6].*)
            say "docker compose is version ${compose#v}; this project needs 2.17 or newer: update docker-compose-plugin" ;;
    esac
else
    closed=''
    config=${DOCKER_CONFIG:-${HOME:-}/.docker}  # owned by root after a `sudo docker`
    for folder in "$config/cli-plugins" "$config"; do
        if [ -d "$folder" ] && { [ ! -r "$folder" ] || [ ! -x "$folder" ]; }; then closed=$folder; fi
    done
    if [ "$closed" ]; then
        say "docker compose does not run: no permission to read $closed. Type: sudo chown -R \"\$(id -u)\" $config"
    else
        say 'docker compose does not run: install docker-compose-plugin (Ubuntu: docker-compose-v2, Debian: docker-compose)'
    fi
fi

host_has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; }
is_desktop() { case $engine in *'"OperatingSystem":"Docker Desktop"'*) ;; *) return 1 ;; esac; }
host_has_no_gpu() {  # Docker Desktop has the toolkit on every machine, with or without a GPU
    is_desktop || command -v nvidia-smi >/dev/null 2>&1 || return 1
    ! host_has_gpu
}
engine_is_a_vm() {  # Docker Desktop's virtual machine has the GPU on WSL2 alone
    is_desktop && ! printf '%s' "$engine" | grep -Eqi '"KernelVersion":"[^"]*(microsoft|wsl)'
}

# An engine passes GPUs by the nvidia runtime, by NVIDIA's hook on its PATH, or by CDI (Podman).
engine_has_nvidia() {
    [ -z "$podman" ] || return 1
    case $engine in *'"nvidia":'*) return 0 ;; esac
    command -v nvidia-container-runtime-hook >/dev/null 2>&1
}
engine_has_cdi() {
    case $engine in *nvidia.com/gpu*) return 0 ;; esac
    # Podman lists no devices. Docker 25 to 28.1 lists only the CDI folders.
    folders=$(printf '%s' "$engine" | sed -n 's/.*"CDISpecDirs":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr , ' ')
    [ -z "$podman" ] || folders='/etc/cdi /var/run/cdi'
    for folder in $folders; do
        if cat "$folder"/*.yaml "$folder"/*.json 2>/dev/null | grep -q nvidia.com/gpu; then return 0; fi
    done
    return 1
}

accelerator=cpu
if host_has_no_gpu; then
    # a driver that waits for a reboot, for example
    ! command -v nvidia-smi >/dev/null 2>&1 || say 'nvidia-smi finds no GPU here. Once it does, remove ACCELERATOR from .env and run: sh docker/write-env.sh. RTX 50 and B200 need the open kernel modules'
elif engine_is_a_vm; then :
elif engine_has_nvidia; then accelerator=nvidia
elif engine_has_cdi; then accelerator=cdi
fi

if [ "$accelerator$podman" = cpuyes ] && host_has_gpu; then
    say 'this machine has an NVIDIA GPU, but Podman has no CDI file of it. Type: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml. Then remove ACCELERATOR from .env and run: sh docker/write-env.sh'
elif [ "$accelerator" = cpu ] && host_has_gpu && engine_is_a_vm; then
    say 'Docker Desktop on Linux has no GPU. For Docker Engine: docker context use default, remove ACCELERATOR from .env, then: sh docker/write-env.sh'
elif [ "$accelerator" = cpu ] && host_has_gpu; then
    say 'this machine has an NVIDIA GPU, but its engine cannot use it. Install the NVIDIA Container Toolkit, remove ACCELERATOR from .env, then run: sh docker/write-env.sh'
fi
add "ACCELERATOR=$accelerator"
if [ "$accelerator" = cdi ]; then name_gpus; fi
say "wrote ACCELERATOR=$accelerator to .env"
