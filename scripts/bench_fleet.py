#!/usr/bin/env python3
"""Starts many wrapped commands at once, holds them, ends them at once, and says what that took and what was left.

Called by bench-fleet.sh with the servers up. Each command has a vaultexec and its companion; what is counted as left are the
leases and tokens that the server still has.
"""
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

BINARY = sys.argv[1]
COUNT = int(sys.argv[2])
ADDRESS = os.environ["VAULT_ADDR"]
ADMIN = os.environ.pop("ADMIN_TOKEN")
CHILD = ["sh", "-c", "echo ready; read line; exit 0"]
# Whatever is left by then stays.
PATIENCE = 700


def ask(path):
    request = urllib.request.Request(f"{ADDRESS}/v1/{path}", headers={"X-Vault-Token": ADMIN})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def keys(path):
    try:
        return len(json.loads(ask(f"sys/leases/lookup/{path}/?list=true"))["data"]["keys"])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return 0
        raise


def left():
    return keys("database/creds/app-role"), keys("auth/approle/login")


def requests():
    """How many requests and logins the server has handled."""
    counters = ("vault_core_handle_request_count", "vault_core_handle_login_request_count")
    lines = ask("sys/metrics?format=prometheus").decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] in counters)


def cost_of_asking():
    before = requests()
    return requests() - before


def memory(pid):
    """The share of a vaultexec and its companion, in KiB."""
    pids = [pid]
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        pids += [int(child) for child in children.read().split()]
    total = 0
    for each in pids:
        with open(f"/proc/{each}/cmdline", "rb") as line:
            if line.read().startswith(b"sh\0"):
                continue
        with open(f"/proc/{each}/smaps_rollup") as rollup:
            total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total


def show(name, value):
    print(f"{name:46} {value}")


asking = cost_of_asking()
before = requests()
started = time.perf_counter()
runs = [
    subprocess.Popen([BINARY, "--", *CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(COUNT)
]
up = sum(run.stdout.readline() == "ready\n" for run in runs)
show(f"{COUNT} commands, started at once", f"{up} up after {time.perf_counter() - started:.1f} s")
# What is asked while the command runs is asked right after its start.
time.sleep(5)
shares = [memory(run.pid) for run in runs if run.poll() is None]
if shares:
    show("memory of a vaultexec and its companion", f"{sum(shares) / len(shares):.0f} KiB")
leases, tokens = left()
show("on the server meanwhile", f"{leases} leases, {tokens} tokens")

ended = time.perf_counter()
for run in runs:
    run.stdin.close()
codes = [run.wait() for run in runs]
took = time.perf_counter() - ended
leases, tokens = left()
show("ended at once", f"{codes.count(0)} with 0, the last after {took:.1f} s")
show("left by then", f"{leases} leases, {tokens} tokens")
said = [line for run in runs for line in run.stderr.read().splitlines()]
for words in ("could not be revoked", "is not revoked yet", "waiting for"):
    show(f'lines with "{words}"', sum(words in line for line in said))
show("other lines", sum(not any(w in line for w in ("revoked", "waiting for")) for line in said))
while sum(left()) and time.perf_counter() - ended < PATIENCE:
    time.sleep(0.5)
leases, tokens = left()
gone = time.perf_counter() - ended
show("the last of it gone", f"after {gone:.1f} s" if leases + tokens == 0 else f"never: {leases} leases, {tokens} tokens")
# Those that this script has made itself are of the kind that asks for leases, which is counted as well.
show("requests that the server has handled, a command", f"at most {(requests() - before - asking) / COUNT:.1f}")
