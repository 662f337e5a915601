#!/bin/sh
# with-ca COMMAND…: COMMAND also trusts the certificates in the secret `ca` (CA_BUNDLE in .env), for
# networks whose proxy opens TLS. Build steps and containers start with it; without the secret it only
# runs COMMAND. uv and pip do not ask the system's store, so the variables that they read are set.
set -eu

extra=/run/secrets/ca
if [ -s "$extra" ]; then
    # In memory, so that no layer of the image keeps it.
    bundle=/dev/shm/ca-bundle.$$
    if ! (umask 022 && cat /etc/ssl/certs/ca-certificates.crt "$extra" > "$bundle"); then
        echo "with-ca: uid $(id -u) cannot read the file that CA_BUNDLE names ($extra here)" >&2
        exit 66
    fi
    export SSL_CERT_FILE="$bundle" PIP_CERT="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle" GIT_SSL_CAINFO="$bundle"
fi
exec "$@"
