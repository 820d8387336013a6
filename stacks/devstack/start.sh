#!/bin/bash
# start.sh SERVICE COMMAND...: the start of every service of this stack. Waits for the vault, logs in with the service's
# own role, takes its credentials and, where it has one, a certificate, and hands over to COMMAND: a function below that
# knows how the product is told, or a program.
set -euo pipefail
umask 077

service=$1
shift
vault=${VAULT_ADDR:-http://vault:8200}
login=/vault-approles/$service
tls=/run/tls

fail() { echo "start: error: $*" >&2; exit 1; }

# ask METHOD PATH [BODY]: an answer of the vault, with the token where there is one. Neither is in a process list.
ask() {
    curl --silent --show-error --fail-with-body --max-time 30 --request "$1" --config - "$vault/v1/$2" <<< "
header = \"X-Vault-Token: ${token:-}\"
${3:+data = \"$(sed 's/["\\]/\\&/g' <<< "$3")\"}"
}

# log_in TRIES: waits for the vault so often, and takes a token of it.
log_in() {
    local tries=0
    until curl --silent --fail --max-time 2 --output /dev/null "$vault/v1/sys/health?standbyok=true"; do
        tries=$((tries + 1))
        [ "$tries" -lt "$1" ] || fail "the vault at $vault is not ready"
        sleep 0.2
    done
    [ -r "$login/role-id" ] && [ -r "$login/secret-id" ] || fail "nothing to log in with in $login"
    answer=$(ask POST auth/approle/login \
        "$(jq -nc --rawfile r "$login/role-id" --rawfile s "$login/secret-id" '{role_id: $r, secret_id: $s}')") \
        || fail "the vault refused the login of $service; mesh vault bootstrap makes one that has expired anew"
    token=$(jq -er .auth.client_token <<< "$answer")
}

# secret SERVICE: its credentials as JSON.
secret() { ask GET "secret/data/$1" | jq -ce .data.data || fail "the vault has no credentials of $1"; }
# field NAME: of the credentials in $credentials.
field() { jq -er --arg name "$1" '.[$name] | tostring' <<< "$credentials"; }

# certificate OWNER: key, certificate and chain in memory, for the user that the server runs as. Each file is there
# whole at any time: a server may read them while they are made anew.
certificate() {
    local names new=$tls/new
    mkdir -p "$new"
    names=$(jq -nc --arg name "$service" --arg address "${SERVICE_ADDRESS:-}" '{
        common_name: $name, alt_names: "localhost",
        ip_sans: (["127.0.0.1", $address] | map(select(. != "")) | join(","))}')
    ask POST "pki_int/issue/$service-role" "$names" > "$new/answer" || fail "the vault issued no certificate for $service"
    jq -er .data.private_key "$new/answer" > "$new/server.key"
    jq -er '.data | .certificate, .ca_chain[]?' "$new/answer" > "$new/server.crt"
    jq -er '.data.ca_chain[]?' "$new/answer" > "$new/ca.crt"
    rm "$new/answer"
    chmod 0644 "$new/server.crt" "$new/ca.crt"
    chmod 0711 "$tls"
    chown "$1" "$tls" "$new"/* 2> /dev/null || true
    mv "$new"/* "$tls"
    rmdir "$new"
}

# hand_over COMMAND...: becomes the server, with the umask that its image expects, and without what it need not know.
hand_over() {
    unset token answer credentials
    umask 0022
    exec "$@"
}

wants_tls() { [ "$(field tls_enabled)" = true ]; }

start_postgres() {
    credentials=$(secret postgres)
    POSTGRES_USER=$(field user) POSTGRES_PASSWORD=$(field password) POSTGRES_DB=$(field database)
    export POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB
    if wants_tls; then
        certificate postgres:postgres
        set -- "$@" -c ssl=on -c "ssl_cert_file=$tls/server.crt" -c "ssl_key_file=$tls/server.key" -c "ssl_ca_file=$tls/ca.crt"
    fi
    hand_over docker-entrypoint.sh postgres "$@"
}

start_pgbouncer() {
    credentials=$(secret postgres)
    DB_USER=$(field user) DB_PASSWORD=$(field password) DB_NAME=$(field database)
    export DB_USER DB_PASSWORD DB_NAME
    if wants_tls; then export SERVER_TLS_SSLMODE=require; fi
    hand_over /entrypoint.sh "$@"
}

start_mysql() {
    credentials=$(secret mysql)
    MYSQL_ROOT_PASSWORD=$(field root_password) MYSQL_USER=$(field user)
    MYSQL_PASSWORD=$(field password) MYSQL_DATABASE=$(field database)
    export MYSQL_ROOT_PASSWORD MYSQL_USER MYSQL_PASSWORD MYSQL_DATABASE
    # For backups: the password of root is in no command line and in no log.
    mkdir -p "$tls"
    printf '[client]\nuser=root\npassword="%s"\n' "$MYSQL_ROOT_PASSWORD" > "$tls/root.cnf"
    if wants_tls; then
        certificate mysql:mysql
        set -- "$@" "--ssl-cert=$tls/server.crt" "--ssl-key=$tls/server.key" "--ssl-ca=$tls/ca.crt"
    fi
    hand_over docker-entrypoint.sh mysqld "$@"
}

start_redis() {
    credentials=$(secret "$service")
    local configuration=/run/redis/redis.conf
    mkdir -p /run/redis
    {
        printf 'requirepass %s\nmasterauth %s\n' "$(field password)" "$(field password)"
        printf 'cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 5000\nappendonly yes\ndir /data\n'
        printf 'protected-mode no\ncluster-announce-ip %s\n' "$SERVICE_ADDRESS"
        if wants_tls; then
            certificate redis:redis
            printf 'tls-port 6380\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\ntls-auth-clients no\n' \
                "$tls/server.crt" "$tls/server.key" "$tls/ca.crt"
        fi
    } > "$configuration"
    field password > /run/redis/password
    chown -R redis:redis /run/redis 2> /dev/null || true
    hand_over docker-entrypoint.sh redis-server "$configuration" "$@"
}

start_rabbitmq() {
    credentials=$(secret rabbitmq)
    local configuration=/etc/rabbitmq/conf.d/30-vault.conf
    {
        printf 'default_user = %s\ndefault_pass = %s\ndefault_vhost = %s\n' \
            "$(field user)" "$(field password)" "$(field vhost)"
        if wants_tls; then
            certificate rabbitmq:rabbitmq
            printf 'listeners.ssl.default = 5671\nssl_options.cacertfile = %s\nssl_options.certfile = %s\n' \
                "$tls/ca.crt" "$tls/server.crt"
            printf 'ssl_options.keyfile = %s\nssl_options.verify = verify_none\n' "$tls/server.key"
        fi
    } > "$configuration"
    chown rabbitmq:rabbitmq "$configuration" 2> /dev/null || true
    hand_over docker-entrypoint.sh rabbitmq-server "$@"
}

# One cluster of three masters; made once.
start_cluster() {
    credentials=$(secret redis-1)
    REDISCLI_AUTH=$(field password)
    export REDISCLI_AUTH
    local nodes=(172.20.2.13:6379 172.20.2.16:6379 172.20.2.17:6379)
    state() { redis-cli -h 172.20.2.13 cluster info | tr -d '\r' | sed -n "s/^$1://p"; }
    if [ "$(state cluster_known_nodes)" -lt 3 ]; then
        redis-cli --cluster create "${nodes[@]}" --cluster-replicas 0 --cluster-yes
    fi
    tries=0
    until [ "$(state cluster_state)" = ok ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "the cluster does not come together: $(state cluster_state)"
        sleep 0.1
    done
    echo "The cluster has $(state cluster_size) masters and all $(state cluster_slots_ok) slots."
}

start_exporter() {
    credentials=$(secret redis-1)
    REDIS_PASSWORD=$(field password)
    export REDIS_PASSWORD
    hand_over /redis_exporter "$@"
}

# `start.sh SERVICE renew OWNER` makes the certificate anew, and `start.sh SERVICE reload PRODUCT` has the server load
# it; connections that are open go on with the old one. Called by the supervisor, see x-mesh in compose.yaml.
start_renew() { certificate "$1"; }

start_reload() {
    case $1 in
        mysql)
            local client=mysql statement="ALTER INSTANCE RELOAD TLS"
            if command -v mariadb > /dev/null; then client=mariadb statement="FLUSH SSL"; fi
            "$client" --defaults-extra-file="$tls/root.cnf" --execute="$statement"
            ;;
        redis)
            REDISCLI_AUTH=$(< /run/redis/password)
            export REDISCLI_AUTH
            [ "$(redis-cli config set tls-cert-file "$tls/server.crt" tls-key-file "$tls/server.key")" = OK ] \
                || fail "redis did not take its new certificate"
            ;;
        rabbitmq) rabbitmqctl --silent eval 'ssl:clear_pem_cache().' ;;
        *) fail "there is no way to reload $1" ;;
    esac
}

start=$1
shift
# Services wait for a vault that starts; a renewal is tried again; a server is told without it.
case $start in
    reload) ;;
    renew) log_in 5 ;;
    *) log_in 600 ;;
esac
case $start in
    postgres | pgbouncer | mysql | redis | rabbitmq | cluster | exporter | renew | reload) "start_$start" "$@" ;;
    *) fail "there is no start of $start" ;;
esac
