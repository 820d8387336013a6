#!/usr/bin/env bash
# How a service of a stack gets its credentials before it starts: wait for Vault, log in by AppRole, read them,
# become the server. With bash, curl and jq alone.
set -euo pipefail

VAULT_ADDR="${VAULT_ADDR:?}"
SERVICE="${SERVICE:?}"
APPROLES="${VAULT_APPROLE_DIR:?}"
ATTEMPTS="${VAULT_ATTEMPTS:-60}"

for ((attempt = 1; ; attempt++)); do
  code=$(curl -s -o /dev/null -w '%{http_code}' "$VAULT_ADDR/v1/sys/health?standbyok=true" || true)
  [[ "$code" == 200 ]] && break
  if ((attempt >= ATTEMPTS)); then
    echo "Vault is not ready: $code" >&2
    exit 1
  fi
  sleep "${VAULT_INTERVAL:-2}"
done

role_id=$(< "$APPROLES/$SERVICE/role-id")
secret_id=$(< "$APPROLES/$SERVICE/secret-id")
login=$(jq -n --arg role_id "$role_id" --arg secret_id "$secret_id" '{role_id: $role_id, secret_id: $secret_id}' |
  curl -sf --request POST --data @- "$VAULT_ADDR/v1/auth/approle/login")
token=$(jq -er '.auth.client_token' <<< "$login")

secret=$(curl -sf -H "X-Vault-Token: $token" "$VAULT_ADDR/v1/secret/data/$SERVICE")
SERVICE_USER=$(jq -er '.data.data.user' <<< "$secret")
SERVICE_PASSWORD=$(jq -er '.data.data.password' <<< "$secret")
export SERVICE_USER SERVICE_PASSWORD

if [[ "$(jq -r '.data.data.tls_enabled // false' <<< "$secret")" == true ]]; then
  issued=$(jq -n --arg name "$SERVICE" '{common_name: $name, ttl: "24h"}' |
    curl -sf -H "X-Vault-Token: $token" --request POST --data @- "$VAULT_ADDR/v1/pki_int/issue/$SERVICE-role")
  mkdir -p "$TLS_DIR"
  jq -er '.data.certificate' <<< "$issued" > "$TLS_DIR/server.crt"
  (umask 077 && jq -er '.data.private_key' <<< "$issued" > "$TLS_DIR/server.key")
  jq -er '.data.ca_chain[]' <<< "$issued" > "$TLS_DIR/ca.crt"
fi

exec "$@"
