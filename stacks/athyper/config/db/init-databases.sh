#!/bin/bash
# The first start of PostgreSQL: a database for applications, one for identities.
set -euo pipefail

for database in "$MESH_DB_APPS" "$MESH_DB_AUTH"; do
    psql --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres --set=name="$database" << 'SQL'
SELECT format('CREATE DATABASE %I', :'name') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SQL
    echo "init-databases: $database is there"
done
