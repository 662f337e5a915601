#!/bin/sh
# sync-environment [--lock|--list-large|--large|--packages] OPTION…: install what pyproject.toml and uv.lock say.
# It runs in a build step, in the project folder. Other options go to `uv sync`.
#   --lock         only writes uv.lock where there is none, and refuses one that is out of date
#   --list-large   writes /opt/large/pylock.toml: the large packages, with the versions and hashes of uv.lock
#   --large        installs those
#   --packages     installs all others, but not the project and the packages in its folders: their files come later
set -eu

# Writable for every UID: some packages save beside themselves (a checkpoint in site-packages). Installed files have the
# modes of uv's cache.
umask 0000
# Not the uv that a package may bring: it would remove the packages of ACCELERATOR.
uv=$(command -v uv)
uv() { "$uv" "$@"; }
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

# Before anything is installed. uv asks an index only about a uv.lock that does not fit; without a login it then finds no
# solution. Only the last step has what else it may need: folders of the project, and code that tells its version.
refuse_stale_lock() {
    # not beside the password of a private index: uv may run the project's build backend
    [ -z "${UV_NO_BUILD:-}" ] || return 0
    ! grep -q 'path *=\|workspace\|dynamic' pyproject.toml || return 0
    if said=$(uv lock --check 2>&1); then return 0; fi
    case $said in *'needs to be updated'* | *'No solution found'*) ;; *) return 0 ;; esac
    echo 'sync: uv.lock is out of date: docker compose run --rm app uv lock (no image yet: move uv.lock away for one build)' >&2
    exit 1
}

# Bytecode makes the first import fast; that of a package's own tests would be 80 MB beside PyTorch.
compile() { /usr/bin/python3 -I -m compileall -qq -j 0 -x '/tests/' /opt/venv/lib || true; }

# Frameworks, their CUDA and their companions: gigabytes that rarely change.
large='torch|torchvision|triton|onnxruntime(-gpu)?|onnx|(nvidia|cuda)-[a-z0-9-]+'
large="$large|numpy|scipy|scikit-learn|sympy|opencv-[a-z-]+"
export_packages() { uv export --quiet --frozen --no-default-groups --extra "$ACCELERATOR" --no-annotate --no-header "$@"; }

case ${1:-} in
    --lock) lock; refuse_stale_lock; exit ;;
    --list-large)
        shift
        lock
        refuse_stale_lock
        mkdir /opt/large
        : > /opt/large/pylock.toml
        if grep -q '^default-groups = .*"ray"' pyproject.toml; then large="$large|ray|pyarrow"; set -- --group ray "$@"; fi
        names=$(export_packages --no-hashes "$@") || exit
        # packages of no-binary-package are built in a later step, which has pyproject.toml
        built=$(tr '\n_.A-Z' ' \-\-a-z' < pyproject.toml | sed -n 's/.*no-binary-package *= *\[\([^]]*\)\].*/\1/p')
        ! grep -q '^no-binary *= *true' pyproject.toml || exit 0
        some=''
        for name in $(echo "$names" | sed -En "s/^($large)==.*/\1/p" | sort -u); do
            case $built in *[\"\']"$name"[\"\']*) continue ;; esac
            # private packages are fetched already
            ! grep -qxF "$name" /opt/fetched/names 2>/dev/null || continue
            some=yes
            set -- "$@" --only-emit-package "$name"
        done
        if [ "$some" ]; then export_packages --format pylock.toml "$@" > /opt/large/pylock.toml; fi
        exit
        ;;
    --large)
        [ -s /opt/large/pylock.toml ] || exit 0
        uv venv --quiet --allow-existing /opt/venv
        uv --preview-features pylock pip install --no-deps --requirements /opt/large/pylock.toml
        # No program loads these: Triton's static archives, and a second build of NVIDIA's runtime compiler.
        find /opt/venv \( -path '*/triton/*.a' -o -name 'libnvrtc*.alt.so.*' \) -delete
        compile
        exec find /opt/venv -type f -perm /022 -exec chmod go-w {} +
        ;;
    --packages)
        shift
        lock
        install -m 0644 pyproject.toml uv.lock /opt/
        uv sync --frozen --no-install-project --no-install-local "$@"
        compile
        # Folders only: a changed mode would copy a large package into this layer.
        exec find /opt/venv -type d ! -perm -o=w -exec chmod o+w {} +
        ;;
esac

[ -f uv.lock ] || cp /opt/uv.lock uv.lock
if ! uv sync --locked --inexact "$@"; then
    echo 'sync: if uv.lock is out of date: docker compose run --rm app uv lock (no image yet: move uv.lock away for one build)' >&2
    exit 1
fi
