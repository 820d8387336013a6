#!/bin/bash
# Start of the vault: the server, and beside it whoever opens it with the keys that are kept. A vault that nobody
# initialised waits for the bootstrap, which does.
set -euo pipefail

docker-entrypoint.sh server &
server=$!
trap 'kill -TERM "$server" 2> /dev/null || true' TERM INT

if [ -e /vault/keys/keys.json ]; then
    /usr/local/libexec/mesh vault unseal --address http://127.0.0.1:8200 --keys /vault/keys --wait 60 \
        || echo "start: error: the vault stays sealed" >&2
fi

# A signal ends the first wait; the second one has the server's own end.
wait "$server" || true
wait "$server"
