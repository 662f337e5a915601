#!/bin/bash
# Behaves as the guide's entrypoint, with its FAQ's answer to "Permission denied".
if [ -n "${USER_ID:-}" ] && [ -n "${GROUP_ID:-}" ]; then
    groupadd --gid "$GROUP_ID" --non-unique usergroup
    useradd --shell /bin/bash --uid "$USER_ID" --gid "$GROUP_ID" --non-unique --comment '' --create-home user
    export HOME=/home/user
    chown -R "$USER_ID:$GROUP_ID" /home/user
    chown -R "$USER_ID:$GROUP_ID" /code
    chmod -R 777 /usr/local/lib/python3.*/dist-packages
fi

if [ $# -gt 0 ]; then
    exec gosu "${USER_ID:-0}:${GROUP_ID:-0}" python "$@"
else
    exec gosu "${USER_ID:-0}:${GROUP_ID:-0}" bash
fi
