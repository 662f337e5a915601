#!/bin/sh
# with-ca COMMAND…: COMMAND also trusts the certificates in the secret `ca` (CA_BUNDLE in .env), for
# networks whose proxy opens TLS. Build steps and containers start with it; without the secret it only
# runs COMMAND. uv and pip do not ask the system's store, so the variables that they read are set.
set -eu

extra=/run/secrets/ca
if [ -s "$extra" ]; then
    if ! [ -r "$extra" ]; then
        echo "with-ca: the file that CA_BUNDLE names cannot be read by uid $(/usr/bin/id -u)" >&2
        exit 66
    fi
    # In memory, so that no layer of the image keeps it.
    bundle=$(/usr/bin/mktemp /dev/shm/ca-bundle.XXXXXX)
    /usr/bin/cat /etc/ssl/certs/ca-certificates.crt "$extra" > "$bundle"
    /usr/bin/chmod 644 "$bundle"
    export SSL_CERT_FILE="$bundle" PIP_CERT="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle" GIT_SSL_CAINFO="$bundle"
fi
exec "$@"
