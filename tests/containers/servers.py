"""The two servers that the cases share, set up as in the tutorial, and the oracle: whether anything is left in them."""
import json
import urllib.error
import urllib.request

from docker import NETWORK, Container, docker, until

ADMIN = f"{NETWORK}-admin"
ROLES = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'"
POLICY = """
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""
CREATE = """CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"""


class Servers:
    def __init__(self):
        docker("network", "create", NETWORK)
        # The tests' own way in, where cases take the other network away. No published port: those go with any network.
        docker("network", "create", ADMIN)
        self.vault = Container("vault", "server", "-dev", network=ADMIN,
                               env={"VAULT_DEV_ROOT_TOKEN_ID": "root", "VAULT_DEV_LISTEN_ADDRESS": "0.0.0.0:8200"})
        docker("network", "connect", "--alias=vault", NETWORK, self.vault.name)
        self.postgres = Container("postgres", options=["--network-alias=postgres"], env={
            "POSTGRES_USER": "vaultadmin", "POSTGRES_PASSWORD": "vaultpassword", "POSTGRES_DB": "appdb",
            "PGPASSWORD": "vaultpassword"})
        self.address = f"http://{self.vault.address(ADMIN)}:8200"
        until(lambda: self.api("GET", "sys/health", fails=True), "OpenBao answers")
        until(lambda: self.sql("SELECT 1", check=False) == "1", "PostgreSQL answers")
        self.set_up()

    def close(self):
        for container in (self.vault, self.postgres):
            container.__exit__()
        docker("network", "rm", NETWORK, ADMIN)

    def api(self, method, path, body=None, fails=False):
        request = urllib.request.Request(f"{self.address}/v1/{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(), headers={"X-Vault-Token": "root"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "LIST":
                return {"data": {"keys": []}}
            raise
        except OSError:
            if fails:
                return None
            raise

    def sql(self, query, **options):
        words = ["psql", "-qAt", "-h", "127.0.0.1", "-U", "vaultadmin", "-d", "appdb", "-c", query]
        return self.postgres.execute(*words, **options).stdout.strip()

    def set_up(self):
        self.api("POST", "sys/mounts/database", {"type": "database"})
        self.api("POST", "database/config/appdb", {
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": "vaultadmin",
            "password": "vaultpassword",
            "connection_url": "postgresql://{{username}}:{{password}}@postgres:5432/appdb?sslmode=disable"})
        self.api("POST", "database/roles/app", {
            "db_name": "appdb", "creation_statements": CREATE, "default_ttl": "1h", "max_ttl": "24h"})
        self.api("POST", "sys/auth/approle", {"type": "approle"})
        self.api("PUT", "sys/policies/acl/app", {"policy": POLICY})
        self.api("POST", "auth/approle/role/app", {"token_policies": "app", "token_ttl": "1h", "secret_id_num_uses": 0})
        self.role_id = self.api("GET", "auth/approle/role/app/role-id")["data"]["role_id"]

    def secret_id(self):
        return self.api("POST", "auth/approle/role/app/secret-id", {})["data"]["secret_id"]

    def env(self, **more):
        """What an application's container is told."""
        known = {"VAULT_ADDR": "http://vault:8200", "VAULT_ROLE_ID": self.role_id, "VAULT_SECRET_ID": self.secret_id(),
                 "VAULTEXEC_CREDS": "database/creds/app", "PGHOST": "postgres", "PGDATABASE": "appdb"}
        known.update(more)
        return {name: value for name, value in known.items() if value is not None}

    def roles(self):
        return int(self.sql(ROLES))

    def left(self):
        """What is there that should not be: database users, leases, tokens."""
        found = []
        if self.roles():
            found.append(f"{self.roles()} users in the database")
        if leases := self.api("LIST", "sys/leases/lookup/database/creds/app")["data"]["keys"]:
            found.append(f"leases {leases}")
        # The root token is the only one.
        if len(tokens := self.api("LIST", "auth/token/accessors")["data"]["keys"]) > 1:
            found.append(f"{len(tokens) - 1} tokens")
        return found

    def assert_nothing_left(self, within=0):
        """Nothing now; or nothing within some seconds, where the end of a lease is what clears up."""
        try:
            if within:
                until(lambda: not self.left(), lambda: f"left: {self.left()}", within)
            left = self.left()
            assert not left, f"left: {left}"
        except AssertionError:
            # One case that fails is no reason for the next ones to.
            self.revoke_tokens()
            raise

    def revoke_tokens(self):
        """Takes back what a case has kept vaultexec from: each token, and its leases with it."""
        for accessor in self.api("LIST", "auth/token/accessors")["data"]["keys"]:
            token = self.api("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            if token["display_name"] == "approle":
                self.api("POST", "auth/token/revoke-accessor", {"accessor": accessor})


_shared = None


def shared():
    global _shared
    if _shared is None:
        _shared = Servers()
    return _shared


def close():
    if _shared is not None:
        _shared.close()
