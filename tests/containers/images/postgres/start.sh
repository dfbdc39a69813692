# Makes the database that POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB name, and serves it to everyone with the password.
set -eu
install -d -o postgres -g postgres -m 0700 "$PGDATA"
install -d -o postgres -g postgres -m 0775 /run/postgresql
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    (umask 077 && printf '%s' "$POSTGRES_PASSWORD" >/tmp/password && chown postgres /tmp/password)
    gosu postgres initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 >/dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | gosu postgres postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec gosu postgres postgres -D "$PGDATA" -c "listen_addresses=*" -c fsync=off
