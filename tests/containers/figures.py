"""What vaultexec costs in a container: `docker run … true` bare, behind an init, and behind vaultexec, interleaved."""
import statistics
import time

import servers
from docker import NETWORK, PREFIX, docker

ROUNDS = 10


def show():
    env = [f"--env={name}={value}" for name, value in servers.shared().env().items()]
    run = ["run", "--rm", f"--network={NETWORK}", *env]
    ways = {
        "bare": [*run, "--entrypoint=/busybox", f"{PREFIX}/bare", "true"],
        "behind --init": [*run, "--init", "--entrypoint=/busybox", f"{PREFIX}/bare", "true"],
        "behind vaultexec": [*run, f"{PREFIX}/bare", "/busybox", "true"],
    }
    took = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, words in ways.items():
            started = time.perf_counter()
            docker(*words)
            took[name].append((time.perf_counter() - started) * 1000)
    print(f"\n`docker run … true`, {ROUNDS} rounds, interleaved")
    for name, values in took.items():
        more = statistics.median(value - bare for value, bare in zip(values, took["bare"]))
        print(f"  {name:18} median {statistics.median(values):6.0f} ms   more than bare: {more:6.0f} ms")
    size = int(docker("image", "inspect", "--format={{.Size}}", f"{PREFIX}/vaultexec").stdout)
    print(f"  size of the image  {size / 1e6:.2f} MB")
