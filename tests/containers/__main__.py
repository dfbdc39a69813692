"""`make test-containers`: makes the images, runs the cases, measures, and removes what it made.

KEEP_IMAGES=1 keeps the images for the next time. Arguments are unittest's: `python3 tests/containers test_pid_1.Ends`.
"""
import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import figures
import servers
from docker import PREFIX, ROOT, command, docker


def why_no_engine():
    """One line, or nothing where an engine answers."""
    needs = "the container tests need a Docker engine that this user may use"
    try:
        done = command("docker", "version", "--format", "{{.Server.Version}}", check=False, timeout=60)
    except FileNotFoundError:
        return f"{needs}: install one (Debian: apt-get install docker.io)"
    if done.returncode == 0:
        return None
    words = " ".join(done.stderr.split())
    if "permission denied" in words:
        return f"{needs}: be root, or join the group of its socket (usermod -aG docker {os.environ.get('USER', 'USER')}): {words}"
    return f"{needs}: start it (systemctl start docker), or set DOCKER_HOST: {words}"


def remove_what_is_left():
    """Containers, networks and volumes of this run, or of one that was killed; by their prefix."""
    for kind, listing in (("container", ["ps", "--all"]), ("network", ["network", "ls"]), ("volume", ["volume", "ls"])):
        names = docker(*listing, "--quiet", f"--filter=name={PREFIX}").stdout.split()
        if names:
            docker(kind, "rm", *(["--force"] if kind != "network" else []), *names)


def run():
    subprocess.run(["bash", f"{ROOT}/scripts/tools.sh", "containers"], check=True)
    remove_what_is_left()
    subprocess.run(["bash", f"{HERE}/images/make.sh"], check=True)
    arguments = sys.argv[1:]
    suite = unittest.defaultTestLoader.loadTestsFromNames(arguments) if arguments else unittest.defaultTestLoader.discover(HERE)
    assert suite.countTestCases(), "no such case"
    servers.shared()
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.wasSuccessful() and not arguments:
        figures.show()
    return result.wasSuccessful()


def main():
    if problem := why_no_engine():
        sys.exit(f"test-containers: {problem}")
    started = time.monotonic()
    good = False
    try:
        good = run()
    except subprocess.CalledProcessError:
        pass  # it has said why
    finally:
        servers.close()
        remove_what_is_left()
        if not os.environ.get("KEEP_IMAGES"):
            subprocess.run(["bash", f"{HERE}/images/make.sh", "remove"], check=True)
    print(f"test-containers: {time.monotonic() - started:.0f} s")
    sys.exit(0 if good else 1)


main()
