"""What is left in the database, and how it is tidied up between two measurements."""
import os
import subprocess

ADMIN = {**os.environ}
# No tool that is measured may see the administrator's password.
for name in ("PGUSER", "PGPASSWORD"):
    os.environ.pop(name, None)


def sql(query):
    return subprocess.run(["psql", "-XAtc", query], env=ADMIN, check=True, text=True, stdout=subprocess.PIPE).stdout.split()


def roles():
    return len(sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'"))


def tidy_up():
    """The roles go; what the server revokes later finds nothing, which is an answer it takes."""
    for name in sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'"):
        sql(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
