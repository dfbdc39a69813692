#!/usr/bin/env python3
"""Times `vaultexec -- true` against the same HTTP calls made bare, pair by pair, and reads its memory.

Called by bench.sh with the servers up. The bare side makes the calls that vaultexec makes (login, read, revoke the lease,
revoke the token) over one connection, and starts `true` between them, so that what is left is vaultexec's own.
"""
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.parse

BINARY = sys.argv[1]
RUNS = int(sys.argv[2])
ADDRESS = urllib.parse.urlsplit(os.environ["VAULT_ADDR"])
ROLE_ID = os.environ["VAULT_ROLE_ID"]
SECRET_ID = os.environ["VAULT_SECRET_ID"]
CREDS = os.environ["VAULTEXEC_CREDS"]


def bare():
    connection = http.client.HTTPConnection(ADDRESS.hostname, ADDRESS.port)

    def call(method, path, token=None, body=None):
        headers = {"X-Vault-Request": "true", "Content-Type": "application/json"}
        if token:
            headers["X-Vault-Token"] = token
        connection.request(method, "/v1/" + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, (path, answer.status, text)
        return json.loads(text) if text else None

    started = time.perf_counter()
    token = call("POST", "auth/approle/login", body={"role_id": ROLE_ID, "secret_id": SECRET_ID})["auth"]["client_token"]
    lease = call("GET", CREDS, token)["lease_id"]
    subprocess.run(["true"], check=True)
    call("POST", "sys/leases/revoke", token, {"lease_id": lease, "sync": True})
    call("POST", "auth/token/revoke-self", token)
    took = time.perf_counter() - started
    connection.close()
    return took


def wrapped():
    started = time.perf_counter()
    subprocess.run([BINARY, "--", "true"], check=True)
    return time.perf_counter() - started


def show(name, values, unit="ms", factor=1000):
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"{name:34} min {low * factor:7.2f}  median {middle * factor:7.2f}  max {high * factor:7.2f} {unit}")


def memory():
    with subprocess.Popen([BINARY, "--", "sh", "-c", "echo ready; read line"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        with open(f"/proc/{run.pid}/task/{run.pid}/children") as children:
            pids = [run.pid] + [int(pid) for pid in children.read().split()]
        for pid in pids:
            with open(f"/proc/{pid}/status") as status:
                fields = dict(line.split(":\t", 1) for line in status)
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                pss = next(line.split()[1] for line in rollup if line.startswith("Pss:"))
            name, rss = fields["Name"].strip(), fields["VmRSS"].split()[0]
            if name in ("vaultexec", "lease-guard"):
                print(f"memory of {name:24} resident {int(rss) / 1024:.1f} MiB, its share {int(pss) / 1024:.1f} MiB")
        run.communicate("\n")


for warm_up in range(3):
    bare(), wrapped()
pairs = [(wrapped(), bare()) for _ in range(RUNS)]
show("vaultexec -- true", [pair[0] for pair in pairs])
show("the same calls and `true`, bare", [pair[1] for pair in pairs])
show("ratio, pair by pair", [one / other for one, other in pairs], "", 1)
show("difference, pair by pair", [one - other for one, other in pairs])
memory()
