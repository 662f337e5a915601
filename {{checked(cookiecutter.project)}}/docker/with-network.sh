#!/bin/sh
# with-network COMMAND…: COMMAND knows the network that it runs in. Containers start with it, and uv does.
#   secret ca (CA_BUNDLE in .env)  more certificates to trust, where a proxy opens TLS
#   PUBLIC_INDEX_URL               a mirror of the public package index
#   HTTP_PROXY, http_proxy, …      the way out, in upper and in lower case: a program reads one of them or the other
# Without them it only runs COMMAND. uv and pip do not ask the system's store, so the variables that they read are set.
set -eu

extra=/run/secrets/ca
if [ -s "$extra" ]; then
    if ! [ -r "$extra" ]; then
        echo "with-network: the file that CA_BUNDLE names cannot be read by uid $(/usr/bin/id -u)" >&2
        exit 66
    fi
    # In memory, so that no layer of the image keeps it; moved into place, since others may be reading it.
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
        echo 'with-network: PUBLIC_INDEX_URL holds an account or a password, which builds would keep in their history. Give the URL alone' >&2
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
if [ "$found" ]; then  # not what runs in this container, and not the head of the Ray cluster
    direct=${RAY_API_SERVER_ADDRESS:-//localhost}
    direct=${direct#*//}
    for direct in localhost 127.0.0.1 "${direct%:*}"; do
        case ,${no_proxy:-}, in *",$direct,"* | ',*,') ;; *) no_proxy=${no_proxy:+$no_proxy,}$direct ;; esac
    done
    export no_proxy NO_PROXY="$no_proxy"
fi
exec "$@"
