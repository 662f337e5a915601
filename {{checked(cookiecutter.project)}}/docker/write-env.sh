#!/bin/sh
# Runs on the host: writes to .env what Compose cannot find out: CHECKOUT, BUILD_CACHE, ACCELERATOR. VS Code runs it at
# each start; after a clone, or in a copy of this folder, it is for you to run: sh docker/write-env.sh
set -eu
CDPATH='' cd "$(dirname "$0")/.."

say() { printf 'write-env: %s' "$1" | LC_ALL=C tr -d '[:cntrl:]' >&2; echo >&2; }

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
    echo "$1" >> .env
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

# A choice that .env already holds is kept; remove the line to have the Docker Engine asked again.
chosen=$(setting ACCELERATOR)
case $chosen in
    nvidia | cpu) exit 0 ;;
    ?*) say "ACCELERATOR=$chosen in .env is unknown; write nvidia or cpu, or remove the line"; exit 64 ;;
esac

# All of it as JSON: older engines know fewer of its fields by name. Without an engine, Docker up to 26
# exits with 0 all the same and lists errors.
engine=$(docker info --format '{{json .}}' 2>&1) || engine="no answer: $engine"
case $engine in
    'no answer: '*'permission denied'* | *'"ServerErrors":["'*'permission denied'*)
        say 'you may not use the Docker Engine, so no ACCELERATOR was written: join the group docker, then: sh docker/write-env.sh'
        exit 0
        ;;
    'no answer: '* | *'"ServerErrors":["'*)
        say 'no Docker Engine answers, so no ACCELERATOR was written; start it, then: sh docker/write-env.sh'
        exit 0
        ;;
esac

case $engine in
    *'"Name":"compose"'*) ;;  # the client lists its plugins; asking for the version takes as long as all of this
    *)
        docker compose version >/dev/null 2>&1 \
            || say 'docker compose (version 2) is missing, and this project needs it: install docker-compose-plugin'
        ;;
esac

host_has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; }
host_has_no_gpu() {  # the toolkit is there, the GPU is not; Docker Desktop brings the toolkit everywhere
    case $engine in
        *'"OperatingSystem":"Docker Desktop"'*) ! host_has_gpu ;;
        *) command -v nvidia-smi >/dev/null 2>&1 && ! host_has_gpu ;;
    esac
}

# Three ways in which an engine gets GPUs: the nvidia runtime, CDI, or just NVIDIA's hook on its PATH.
engine_has_nvidia() {
    case $engine in *'"nvidia":'* | *nvidia.com/gpu*) return 0 ;; esac
    command -v nvidia-container-runtime-hook >/dev/null 2>&1
}

accelerator=cpu
if engine_has_nvidia && ! host_has_no_gpu; then accelerator=nvidia; fi

if [ "$accelerator" = cpu ] && host_has_gpu; then
    say 'this machine has an NVIDIA GPU, but its engine cannot use it: install the NVIDIA Container Toolkit, remove ACCELERATOR from .env and run this again'
fi
add "ACCELERATOR=$accelerator"
say "wrote ACCELERATOR=$accelerator to .env"
