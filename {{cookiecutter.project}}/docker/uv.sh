{% set stack = cookiecutter | stack %}
#!/bin/sh
# uv, as it is called in this image: it knows the network{{ ', the private index' if cookiecutter.__index_url }} and what /opt/venv is made of. The program
# itself would sync without the extra of ACCELERATOR, and so remove or replace its packages.
set -eu

run() { /usr/local/bin/with-network {{ '/usr/local/bin/with-index ' if cookiecutter.__index_url }}/opt/uv/bin/uv "$@"; }

sync() {
{% if stack.cuda_from == 'ngc' %}
    # What NVIDIA's image brings stays. Inexact: uv would remove those packages that it may not install.
    # shellcheck disable=SC2046
    set -- --inexact $(python3 /usr/local/lib/image-packages.py) "$@"
{% endif %}
    run sync --extra "$ACCELERATOR" ${SYNC_GROUP:+--group "$SYNC_GROUP"} "$@"
}

words=" $* "
given() { for word; do case $words in *" $word"*) return 0 ;; esac; done; return 1; }

case ${1:-} in
    add | remove)
        if ! given --no-sync --frozen --script --help '-h '; then
            export UV_NO_SYNC=1; run "$@"; unset UV_NO_SYNC
{% if stack.cuda_from == 'ngc' %}
            sync
{% else %}
            # as uv does it: only a removal takes away what is in no list, such as from `uv pip install`
            if [ "$1" = add ]; then sync --inexact; else sync; fi
{% endif %}
            exit
        fi
        ;;
    sync)
        if ! given '--extra ' '--extra=' --all-extras --only- --help '-h '; then shift; sync "$@"; exit; fi
        ;;
    run)
        export UV_NO_SYNC=1
        ;;
esac
run "$@"
