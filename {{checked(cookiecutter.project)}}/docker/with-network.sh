#!/bin/sh
# with-network COMMAND…: run COMMAND with the CA certificates, PyPI mirror and proxies of .env. Containers and uv use it.
#   secret ca (CA_BUNDLE in .env)  CA certificates, such as those of a TLS-intercepting proxy
#   PUBLIC_INDEX_URL               a PyPI mirror
#   HTTP_PROXY, http_proxy, …      proxies, set in upper and lower case: some programs read only one
# uv and pip ignore the system's certificate store, so it sets the variables that they read.
set -eu

extra=/run/secrets/ca
if [ -s "$extra" ]; then
    if ! [ -r "$extra" ]; then
        echo "with-network: the CA_BUNDLE file cannot be read by uid $(/usr/bin/id -u). On the host: chmod a+r FILE" >&2
        exit 66
    fi
    # In memory, so that no image layer keeps it; moved into place, since another process may be reading it.
    new=$(/usr/bin/mktemp /dev/shm/ca-bundle.XXXXXX)
    /usr/bin/cat /etc/ssl/certs/ca-certificates.crt "$extra" > "$new"
    /usr/bin/chmod 644 "$new"
    bundle=/dev/shm/ca-bundle-of-$(/usr/bin/id -u)
    /usr/bin/mv -f "$new" "$bundle"
    export SSL_CERT_FILE="$bundle" PIP_CERT="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle" GIT_SSL_CAINFO="$bundle"
fi

case ${PUBLIC_INDEX_URL:-} in
    '') ;;
    *@*)
        echo 'with-network: PUBLIC_INDEX_URL holds an account or a password, which the image history would keep. Write the URL without them' >&2
        exit 64
        ;;
    http://?* | https://?*) export UV_DEFAULT_INDEX="$PUBLIC_INDEX_URL" PIP_INDEX_URL="$PUBLIC_INDEX_URL" ;;
    *)
        printf 'with-network: PUBLIC_INDEX_URL=%s is not a URL that begins with http:// or https://' "$PUBLIC_INDEX_URL" \
            | LC_ALL=C /usr/bin/tr -d '\000-\037\177' >&2
        echo >&2
        exit 64
        ;;
esac

found=''
for name in HTTP_PROXY:http_proxy HTTPS_PROXY:https_proxy ALL_PROXY:all_proxy NO_PROXY:no_proxy; do
    eval "either=\${${name#*:}:-\${${name%:*}:-}}"
    # shellcheck disable=SC2154
    [ -n "$either" ] || continue
    found=yes
    eval "export ${name%:*}=\"\${${name%:*}:-\$either}\" ${name#*:}=\"\${${name#*:}:-\$either}\""
done
if [ "$found" ]; then  # no proxy for this container and the Ray head
    # one from the shell, the other one from .env
    [ "${NO_PROXY:-}" = "${no_proxy:-}" ] || no_proxy=$no_proxy,$NO_PROXY
    direct=${RAY_API_SERVER_ADDRESS:-//localhost}
    direct=${direct#*//}
    for direct in localhost 127.0.0.1 "${direct%:*}"; do
        case ,${no_proxy:-}, in *",$direct,"* | ',*,') ;; *) no_proxy=${no_proxy:+$no_proxy,}$direct ;; esac
    done
    export no_proxy NO_PROXY="$no_proxy"
fi
exec "$@"
