"""docker-compose.yml, as a person uses it, with the Compose tools that are here."""
import os
import socket
import tempfile

from cases import Case
from docker import PREFIX, ROOT, command, compose_tools, docker, until

# The images' names are for the file's own variables; the containers' are not to be in anybody's way.
NAMES = "services: {vault: {container_name: %(prefix)s-vault}, postgres: {container_name: %(prefix)s-postgres}}\n"
ADMIN = ["exec", "-T", "postgres", "psql", "-U", "vaultadmin", "-d", "appdb", "-Atc", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Compose(Case):
    def setUp(self):
        super().setUp()
        self.project = f"{PREFIX}-compose"
        names = tempfile.NamedTemporaryFile("w", suffix=".yml")
        self.addCleanup(names.close)
        names.write(NAMES % {"prefix": self.project})
        names.flush()
        self.files = ["-f", f"{ROOT}/docker-compose.yml", "-f", names.name, "-p", self.project]
        self.ports = {"VAULT_PORT": free_port(), "POSTGRES_PORT": free_port()}

    def compose(self, *words, **options):
        env = {**os.environ, **self.ports, "VAULT_IMAGE": f"{PREFIX}/vault", "POSTGRES_IMAGE": f"{PREFIX}/postgres",
               "RUST_IMAGE": f"{PREFIX}/rust", "RUN_IMAGE": f"{PREFIX}/base",
               # As the images were made: else all of it is compiled once more.
               "REVISION": command("git", "-C", ROOT, "rev-parse", "HEAD").stdout.strip(), **options.pop("env", {})}
        return command(*self.tool, *self.files, *words, env=env, timeout=300, **options)

    def app_says(self, text, times=1):
        until(lambda: self.logs().count(text) >= times, self.logs)

    def logs(self):
        done = self.compose("logs", "--no-color", "app")
        return done.stdout + done.stderr

    def roles(self):
        return int(self.compose(*ADMIN).stdout)

    def exit_code(self):
        return int(docker("wait", self.compose("ps", "-aq", "app").stdout.strip() if self.tool[0] == "docker" else
                          self.compose("ps", "-q", "app").stdout.strip()).stdout)

    def test_it_does_what_its_head_and_the_documentation_say(self):
        for self.tool in compose_tools():
            with self.subTest(tool=self.tool):
                try:
                    self.walk_through()
                finally:
                    self.compose("down", "--volumes", "--rmi=local")

    def walk_through(self):
        self.compose("up", "--build", "-d")
        self.app_says("I am v-approle-app-role-")
        # No reader has to know whether the image trusts its socket.
        self.assertEqual(self.roles(), 1)

        self.compose("stop", "app")
        self.assertEqual(self.exit_code(), 143)
        until(lambda: self.roles() == 0, "the role goes", 10)

        # `up` runs `setup` again, which hands over anew.
        self.compose("up", "-d")
        self.app_says("I am v-approle-app-role-", times=2)
        self.assertEqual(self.roles(), 1)

        # A wrapped secret id opens once.
        self.compose("restart", "app")
        self.app_says("the wrapping token is spent")
        self.assertEqual(self.exit_code(), 125)
        self.assertIn("hint: ", self.logs())
        until(lambda: self.roles() == 0, "the role goes", 10)
        self.compose("run", "--rm", "setup", "handover")
        self.compose("start", "app")
        self.app_says("I am v-approle-app-role-", times=3)

        # The engine's KILL takes everything along: the role stays for the rest of its hour.
        self.compose("kill", "app")
        self.assertEqual(self.exit_code(), 137)
        self.assertEqual(self.roles(), 1)

        # In memory: whatever Vault knew is gone with it, and `up` sets it up anew.
        self.compose("restart", "vault")
        self.compose("up", "-d")
        self.app_says("I am v-approle-app-role-", times=4)

    def test_a_port_that_is_taken_is_told_and_another_one_helps(self):
        self.tool = compose_tools()[0]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            try:
                done = self.compose("up", "-d", "vault", env={"VAULT_PORT": port}, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f"127.0.0.1:{port}", done.stdout + done.stderr)
                self.assertIn("VAULT_PORT", open(f"{ROOT}/docker-compose.yml").read().split("services:")[0])
                self.compose("up", "-d", "vault")
            finally:
                self.compose("down", "--volumes")
