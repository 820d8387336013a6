#!/bin/bash
# Carries out what of migrations/apps and migrations/auth a database has not seen yet, each file in one transaction and
# in the order of their names.
set -euo pipefail
shopt -s nullglob

migrate() {
    local database=$1 directory=$2 file name
    local -a sql=(psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --dbname="$database")
    "${sql[@]}" --command='SET client_min_messages = warning;
        CREATE TABLE IF NOT EXISTS mesh_migrations (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())'
    for file in "$directory"/*.sql; do
        name=${file##*/}
        [ -z "$("${sql[@]}" -tA --set=name="$name" <<< "SELECT 1 FROM mesh_migrations WHERE name = :'name'")" ] || continue
        { cat "$file"; echo; echo "INSERT INTO mesh_migrations (name) VALUES (:'name');"; } \
            | "${sql[@]}" --single-transaction --set=name="$name" --file=-
        echo "init-data: $database: $name"
    done
    echo "init-data: $database is up to date"
}

migrate "$MESH_DB_APPS" /migrations/apps
migrate "$MESH_DB_AUTH" /migrations/auth
