"""The engine: commands, containers, and their end."""
import json
import os
import subprocess
import time

PREFIX = "vaultexec-test"
NETWORK = PREFIX
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "target", "containers")


def command(*words, check=True, timeout=120, **options):
    """Runs a command to its end; its output and its messages are kept."""
    done = subprocess.run(words, text=True, stdin=options.pop("stdin", None if "input" in options else subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, errors="replace", **options)
    assert not check or done.returncode == 0, f"{' '.join(words)}: code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def docker(*words, **options):
    return command("docker", *words, **options)


def compose_tools():
    """The ways to call Compose that this machine has: one at least."""
    found = [words for words in (["docker-compose"], ["docker", "compose"])
             if command("sh", "-c", " ".join(words) + " version", check=False).returncode == 0]
    assert found, "no Compose tool: install docker-compose"
    return found


def until(done, what, limit=60):
    """Asks again and again until `done` says something. For states that announce themselves to nobody."""
    deadline = time.monotonic() + limit
    while True:
        found = done()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {limit} s: {what() if callable(what) else what}"
        time.sleep(0.05)


class Container:
    """A container of the tests' own, gone at the end of its `with`."""

    count = 0

    def __init__(self, image, *words, options=(), env=None, network=NETWORK, **more):
        Container.count += 1
        self.name = f"{PREFIX}-{os.getpid()}-{Container.count}"
        variables = [f"--env={name}={value}" for name, value in (env or {}).items()]
        where = [f"--network={network}"] if network else []
        docker("run", "--detach", "--name", self.name, *where, *variables, *options, f"{PREFIX}/{image}", *words, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        docker("rm", "--force", "--volumes", self.name)

    def inspect(self):
        return json.loads(docker("inspect", self.name).stdout)[0]

    def said(self):
        """Everything it wrote, to either output."""
        done = docker("logs", self.name)
        return (done.stdout + done.stderr).replace("\r\n", "\n")

    def address(self, network=NETWORK):
        return self.inspect()["NetworkSettings"]["Networks"][network]["IPAddress"]

    def ended(self):
        return self.inspect()["State"]["Status"] == "exited"

    def wait_for(self, text, times=1):
        def there():
            if self.said().count(text) >= times:
                return True
            assert not self.ended() or self.said().count(text) >= times, f"it ended without {text!r}: {self.said()}"
            return False

        until(there, lambda: f"{text!r} in: {self.said()}")
        return self

    def wait(self, limit=60):
        """Its exit code, at its end."""
        return int(docker("wait", self.name, timeout=limit).stdout)

    def stop(self, seconds=10):
        docker("stop", f"--time={seconds}", self.name)
        return self.wait()

    def kill(self, signal):
        docker("kill", f"--signal={signal}", self.name)
        return self

    def execute(self, *words, options=(), **more):
        return docker("exec", *options, self.name, *words, **more)
