#!/bin/sh
# Runs on the host: asks the Docker Engine whether it can hand out an NVIDIA GPU, and writes
# ACCELERATOR=nvidia or =cpu to .env. A choice that .env already holds is kept; remove the line to ask again.
set -eu
CDPATH='' cd "$(dirname "$0")/.."

say() { printf 'detect-accelerator: %s\n' "$1" >&2; }

chosen() {  # as Compose reads .env: the last line counts; quotes, comments, blanks and `export` do not
    cat .env 2>/dev/null | LC_ALL=C tr -d "\r\"'\357\273\277" | sed -n \
        -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//' -e 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}//' \
        -e 's/^ACCELERATOR[[:space:]]*[=:][[:space:]]*//p' | tail -n 1
}

chosen=$(chosen)
case $chosen in
    nvidia | cpu) exit 0 ;;
    ?*) say "ACCELERATOR=$chosen in .env is unknown; write nvidia or cpu, or remove the line"; exit 64 ;;
esac

# All of it as JSON: older engines know fewer of its fields by name. Without an engine, Docker up to 26
# exits with 0 all the same and lists errors.
engine=$(docker info --format '{{json .}}' 2>&1) || engine="no answer: $engine"
case $engine in
    'no answer: '*'permission denied'* | *'"ServerErrors":["'*'permission denied'*)
        say 'you may not use the Docker Engine, so nothing was written: join the group docker, then: sh docker/detect-accelerator.sh'
        exit 0
        ;;
    'no answer: '* | *'"ServerErrors":["'*)
        say 'no Docker Engine answers, so nothing was written; start it, then: sh docker/detect-accelerator.sh'
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
# a last line without a newline must not swallow ours
if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
echo "ACCELERATOR=$accelerator" >> .env
say "wrote ACCELERATOR=$accelerator to .env"
