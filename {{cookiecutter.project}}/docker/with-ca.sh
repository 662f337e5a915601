#!/bin/sh
# with-ca COMMAND…: COMMAND also trusts the certificates in the secret `ca` (CA_BUNDLE in .env).
# For networks whose proxy opens TLS; used by build steps and by every container. Without the secret it only runs COMMAND.
set -eu

extra=/run/secrets/ca
if [ -s "$extra" ]; then
    [ -r "$extra" ] || { echo "with-ca: CA_BUNDLE: $extra cannot be read by uid $(id -u)" >&2; exit 66; }
    # In memory, so that no layer of the image keeps it. uv and pip do not ask the system's store.
    bundle=$(mktemp /dev/shm/ca-bundle.XXXXXX)
    cat /etc/ssl/certs/ca-certificates.crt "$extra" > "$bundle"
    chmod 0644 "$bundle"
    export SSL_CERT_FILE="$bundle" PIP_CERT="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle" GIT_SSL_CAINFO="$bundle"
fi
exec "$@"
