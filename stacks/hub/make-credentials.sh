#!/bin/bash
# Makes the hub's passwords at the first `up` and leaves them alone afterwards. Each service gets a
# folder of its own, owned by the user that its process runs as, and readable by nobody else.
set -euo pipefail
umask 077
cd /run/credentials
[ -e complete ] && exit 0

password() { head --bytes=24 /dev/urandom | base64 | tr '+/' '-_'; }

# owner FOLDER UID:GID - where there is only one user id, every service already is that user.
owner() { chmod -R u=rwX,go= "$1" && { chown -R "$2" "$1" 2>/dev/null || true; }; }

mkdir -p postgres pgbouncer redis rabbitmq exporter/postgres exporter/redis
chmod 0711 exporter

postgres=$(password)
printf '%s' "$postgres" >postgres/password
printf '%s' "$postgres" >exporter/postgres/password
printf '"hub" "%s"\n' "$postgres" >pgbouncer/userlist.txt

redis=$(password)
printf '%s' "$redis" >redis/password
printf 'requirepass %s\nappendonly yes\ndir /data\nbind * -::*\n' "$redis" >redis/redis.conf
printf '{"redis://redis:6379": "%s"}' "$redis" >exporter/redis/passwords.json

printf 'default_user = hub\ndefault_pass = %s\n' "$(password)" >rabbitmq/credentials.conf

owner postgres 999:999
owner pgbouncer 70:70
owner redis 999:1000
owner rabbitmq 999:999
owner exporter/postgres 65534:65534
owner exporter/redis 59000:59000
sync
touch complete
