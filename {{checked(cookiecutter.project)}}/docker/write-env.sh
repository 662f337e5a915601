#!/bin/sh
# Runs on the host: writes to .env what Compose cannot find out: CHECKOUT, BUILD_CACHE, TZ, GIT_REPOSITORY, ACCELERATOR.
# VS Code runs it at each start; after a clone, or in a copy of this folder, it is for you to run: sh docker/write-env.sh
set -eu
CDPATH='' cd -P "$(dirname "$0")/.."

say() { printf 'write-env: %s' "$1" | LC_ALL=C tr -d '[:cntrl:]' >&2; echo >&2; }

case $PWD/ in
    *[[:cntrl:]]* | *%[!0-9A-Fa-f]* | *%?[!0-9A-Fa-f]*)
        say 'the path of this folder has a % or a control character in it, with which Compose opens no file: rename it'
        exit 64
        ;;
    *\$*) say 'VS Code opens no dev container in a folder with a $ in its path; docker compose does' ;;
esac

setting() {  # as Compose reads .env: the last line counts; quotes, comments, blanks and `export` do not
    # shellcheck disable=SC2002  # < .env fails where there is none
    cat .env 2>/dev/null | LC_ALL=C tr -d "\r\"'\357\273\277" | sed -n \
        -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//' -e 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}//' \
        -e "s/^$1[[:space:]]*[=:][[:space:]]*//p" | tail -n 1
}

# A container can put a link here, and what is written would land in a file of yours elsewhere.
if [ -L .env ] || { [ -e .env ] && [ ! -f .env ]; }; then
    say '.env is a link, or no file, so nothing is written to it: see where it leads (ls -l .env), then make it a file'
    exit 64
fi

add() {  # the file may get a password; a last line without a newline must not swallow ours
    [ -e .env ] || (umask 077 && set -C && : > .env)
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
    printf '%s\n' "$1" >> .env
}

# The end of the names of images and containers: a number for this folder and for you, so that nobody
# gets the image, the container or the volume of another checkout, or of somebody else on the same engine.
# One in the shell wins over .env, so none is written then.
if [ -z "${CHECKOUT+set}" ]; then
    checkout=-$(printf '%s %s' "$(id -u)" "$PWD" | cksum | cut -d ' ' -f 1)
    if [ "$(setting CHECKOUT)" != "$checkout" ]; then add "CHECKOUT=$checkout"; fi
fi

# What builds keep is found by a name, by any Dockerfile on this engine: one that nobody can guess.
if [ -z "${BUILD_CACHE+set}" ] && [ -z "$(setting BUILD_CACHE)" ]; then
    add "BUILD_CACHE=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"
fi

# The time zone of this machine: its clock is a link into a folder of zones.
if [ -z "${TZ+set}" ] && ! grep -q '^TZ=' .env 2>/dev/null; then
    zone=$(readlink /etc/localtime 2>/dev/null) || zone=''
    case $zone in
        *zoneinfo/*UTC) ;;  # as without TZ
        *zoneinfo/*[!A-Za-z0-9/_+-]*) ;;
        *zoneinfo/?*) add "TZ=${zone##*zoneinfo/}" ;;
    esac
fi

# git in the dev container: the .git of a worktree names a folder elsewhere, which has to be mounted as well.
repository=''
case $([ -L .git ] || [ ! -f .git ] || cat .git) in
    *[[:cntrl:]]*) ;;
    'gitdir: /'*/worktrees/*)
        worktree=$(cat .git) && worktree=${worktree#gitdir: } && elsewhere=${worktree%/worktrees/*}
        # A container may have written that file: only a repository elsewhere that names this folder, too.
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
    say 'the git repository of this folder lies outside of it, where no container sees it: use git on the host'
fi

name_gpus() {  # for ACCELERATOR=cdi: a setting for each GPU of GPU_IDS=0,1
    case $(setting GPU_IDS) in *,*) ;; *) return 0 ;; esac
    IFS=, && set -f
    # shellcheck disable=SC2046  # split on purpose
    set -- $(setting GPU_IDS | tr -d ' ')
    unset IFS && set +f
    [ $# -gt 1 ] || return 0
    if [ $# -gt 4 ]; then
        say "ACCELERATOR=cdi takes four GPUs or all, and GPU_IDS in .env has $#: write fewer, or GPU_IDS=all"; exit 64
    fi
    # a new file in its place: on a full disk the old one, with its passwords, stays
    new=$(mktemp ./.env.XXXXXX)
    grep -vE '^[[:space:]]*(export[[:space:]]+)?(GPU_IDS|SECOND_GPU|THIRD_GPU|FOURTH_GPU)[[:space:]]*[=:]' .env > "$new" \
        || [ $? = 1 ] || { rm -f "$new"; exit 1; }
    mv "$new" .env
    add "GPU_IDS=$1"
    add "SECOND_GPU=nvidia.com/gpu=$2"
    if [ $# -gt 2 ]; then add "THIRD_GPU=nvidia.com/gpu=$3"; fi
    if [ $# -gt 3 ]; then add "FOURTH_GPU=nvidia.com/gpu=$4"; fi
    say "wrote GPU_IDS and SECOND_GPU to .env: with ACCELERATOR=cdi each GPU has a setting of its own"
}

# A choice that .env already holds is kept; remove the line to have the engine asked again.
chosen=$(setting ACCELERATOR)
case $chosen in
    nvidia | cpu) exit 0 ;;
    cdi) name_gpus; exit 0 ;;
    ?*) say "ACCELERATOR=$chosen in .env is unknown; write nvidia, cdi or cpu, or remove the line"; exit 64 ;;
esac

# All of it as JSON: older engines know fewer of its fields by name. Without an engine, Docker up to 26
# exits with 0 all the same and lists errors.
ask() { engine=$("$1" info --format '{{json .}}' 2>&1) || engine="no answer: $engine"; }
client=docker && ask docker
if ! command -v docker >/dev/null 2>&1 && command -v podman >/dev/null 2>&1; then client=podman && ask podman; fi
case $engine in
    'no answer: '*'permission denied while'* | *'"ServerErrors":["'*'permission denied while'*)
        say 'you may not use the Docker Engine, so no ACCELERATOR was written: join the group docker, then: sh docker/write-env.sh'
        exit 0
        ;;
    'no answer: '* | *'"ServerErrors":["'*)
        say 'neither Docker nor Podman answers, so no ACCELERATOR was written; start one, then: sh docker/write-env.sh'
        exit 0
        ;;
esac
# its own words, and what it tells a docker command
case $engine in *'"buildahVersion":'* | *'"krun":'*) podman=yes ;; *) podman='' ;; esac

# Asked itself: `docker info` also lists a plugin that does not run. 2.17 is the oldest that was tried.
if [ "$podman" ]; then
    # It says which program it starts; before Podman 4.7 there is no such command.
    answer=$("$client" compose version 2>&1) || answer='"podman-compose"'
    case $answer in
        *'podman-compose"'*) say 'Podman has no Docker Compose, and this project needs it (podman-compose cannot read it): install docker-compose' ;;
        *) say "before the first run: $client compose -f compose.yaml -f docker/podman.yaml build app" ;;
    esac
elif compose=$(docker compose version --short 2>/dev/null); then
    case ${compose#v} in
        2.[0-9].* | 2.1[0-6].*)
            say "docker compose is version ${compose#v}; this project needs 2.17 or newer: update docker-compose-plugin" ;;
    esac
else
    closed=''
    config=${DOCKER_CONFIG:-${HOME:-}/.docker}  # root's, after some sudo docker …
    for folder in "$config/cli-plugins" "$config"; do
        if [ -d "$folder" ] && { [ ! -r "$folder" ] || [ ! -x "$folder" ]; }; then closed=$folder; fi
    done
    if [ "$closed" ]; then
        say "docker compose does not run: you may not read $closed. Type: sudo chown -R \"\$(id -u)\" $config"
    else
        say 'docker compose does not run: install docker-compose-plugin (Ubuntu: docker-compose-v2, Debian: docker-compose)'
    fi
fi

host_has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; }
host_has_no_gpu() {  # the toolkit is there, the GPU is not; Docker Desktop brings the toolkit everywhere
    case $engine in
        *'"OperatingSystem":"Docker Desktop"'*) ! host_has_gpu ;;
        *) command -v nvidia-smi >/dev/null 2>&1 && ! host_has_gpu ;;
    esac
}

# Three ways in which an engine gets GPUs: the nvidia runtime, just NVIDIA's hook on its PATH, or CDI, which is Podman's.
engine_has_nvidia() {
    [ -z "$podman" ] || return 1
    case $engine in *'"nvidia":'*) return 0 ;; esac
    command -v nvidia-container-runtime-hook >/dev/null 2>&1
}
engine_has_cdi() {
    case $engine in *nvidia.com/gpu*) return 0 ;; esac
    # Podman names no devices; nor does Docker 25 to 28.1, which names the folders where CDI is on.
    folders=$(printf '%s' "$engine" | sed -n 's/.*"CDISpecDirs":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr , ' ')
    [ -z "$podman" ] || folders='/etc/cdi /var/run/cdi'
    for folder in $folders; do
        if cat "$folder"/*.yaml "$folder"/*.json 2>/dev/null | grep -q nvidia.com/gpu; then return 0; fi
    done
    return 1
}

accelerator=cpu
if host_has_no_gpu; then :
elif engine_has_nvidia; then accelerator=nvidia
elif engine_has_cdi; then accelerator=cdi
fi

if [ "$accelerator$podman" = cpuyes ] && host_has_gpu; then
    say 'this machine has an NVIDIA GPU, but Podman has no CDI file of it: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, remove ACCELERATOR from .env and run this again'
elif [ "$accelerator" = cpu ] && host_has_gpu; then
    say 'this machine has an NVIDIA GPU, but its engine cannot use it: install the NVIDIA Container Toolkit, remove ACCELERATOR from .env and run this again'
fi
add "ACCELERATOR=$accelerator"
if [ "$accelerator" = cdi ]; then name_gpus; fi
say "wrote ACCELERATOR=$accelerator to .env"
