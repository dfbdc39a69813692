"""Handing secrets over to a container: what works, and what does not and says so."""
import json
import os
import tempfile

from cases import READY, Case
from docker import NETWORK, PREFIX, Container, command, compose_tools, docker

FILE = "/run/secrets/secret-id"


# What people write to give a file secret to the container's user. The Compose tools do not do it for files.
COMPOSE = """
version: "3.8"
services:
  app:
    image: {prefix}/app
    command: ["true"]
    environment: {environment}
    secrets: [{{source: id, target: secret-id, uid: "65532", gid: "65532", mode: 0400}}]
secrets: {{id: {{file: {path}}}}}
networks: {{default: {{external: true, name: {network}}}}}
"""


class Files(Case):
    def path(self, owner, mode):
        """A file of the host with a secret id."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        path = os.path.join(folder.name, "secret-id")
        # The host's user may be no root: the owner is then changed by a container.
        with open(path, "w") as file:
            file.write(self.servers.secret_id())
        with Container("base", "sh", "-c", f"chmod {mode} /f && chown {owner} /f", options=[f"--volume={path}:/f"], network=None) as change:
            self.assertEqual(change.wait(), 0, change.said())
        return path

    def file(self, owner, mode):
        """The option that brings such a file into a container."""
        return [f"--volume={self.path(owner, mode)}:{FILE}:ro"]

    def app_with(self, options, *words):
        return self.app(*words, options=options, VAULT_SECRET_ID=None, VAULT_SECRET_ID_FILE=FILE)

    def test_a_file_that_the_containers_user_may_not_read_is_named_with_owner_mode_and_user(self):
        with self.app_with(self.file("0:0", "0600"), "true") as app:
            self.ends(app, 125, f"VAULT_SECRET_ID_FILE: cannot read {FILE}: permission denied; it belongs to 0:0 with mode 0600, "
                                "and vaultexec runs as 65532:65532")
            self.assertEqual(len(app.said().splitlines()), 1, app.said())

    def test_a_file_of_the_containers_user_is_read_and_needs_to_be_open_to_nobody_else(self):
        with self.app_with(self.file("65532:65532", "0400"), "true") as app:
            self.ends(app, 0)

    def test_a_file_secret_of_compose_keeps_the_hosts_owner_and_mode(self):
        environment = json.dumps(self.servers.env(VAULT_SECRET_ID=None, VAULT_SECRET_ID_FILE=FILE))
        for owner, code in (("0:0", 125), ("65532:65532", 0)):
            file = tempfile.NamedTemporaryFile("w", suffix=".yml")
            self.addCleanup(file.close)
            file.write(COMPOSE.format(prefix=PREFIX, environment=environment, path=self.path(owner, "0400"), network=NETWORK))
            file.flush()
            for tool in compose_tools():
                compose = [*tool, "-f", file.name, "-p", f"{PREFIX}-secrets"]
                with self.subTest(owner=owner, tool=tool):
                    done = command(*compose, "run", "--rm", "app", check=False)
                    self.assertEqual(done.returncode, code, done)
                    if code:
                        self.assertIn("it belongs to 0:0 with mode 0400, and vaultexec runs as 65532:65532", done.stdout + done.stderr)
                    command(*compose, "down")

    def test_standard_input_needs_no_file(self):
        variables = [f"--env={name}={value}" for name, value in self.servers.env(VAULT_SECRET_ID=None).items()]
        words = ["run", "--rm", "-i", f"--network={NETWORK}", *variables, "--entrypoint=vaultexec", f"{PREFIX}/app",
                 "--secret-id-file", "-", "--", "sh", "-c", "echo I am ${PGUSER%%-app-*}"]
        done = docker(*words, input=self.servers.secret_id())
        self.assertEqual((done.stdout, done.stderr), ("I am v-approle\n", ""))

    def test_a_secret_in_a_variable_is_seen_by_every_exec_and_one_in_a_file_is_not(self):
        for options, seen in (([], True), (self.file("65532:65532", "0400"), False)):
            more = {} if seen else {"VAULT_SECRET_ID": None, "VAULT_SECRET_ID_FILE": FILE}
            with self.sleeper(options=options, **more) as app:
                names = [line.split("=")[0] for line in app.execute("env").stdout.splitlines()]
                self.assertEqual("VAULT_SECRET_ID" in names, seen)
                self.assertEqual(app.stop(), 143)


class Shells(Case):
    def script(self, script, **more):
        return Container("app", "sh", "-c", script, options=["--entrypoint="], env=self.servers.env(**more))

    def test_a_shell_in_front_swallows_term_and_exec_is_what_helps(self):
        run = f"vaultexec -- sh -c '{READY}'"
        with self.script(f": prepare; exec {run}").wait_for("ready") as app:
            self.assertEqual(app.stop(), 143, app.said())
            self.servers.assert_nothing_left()
        with self.script(f": prepare; {run}; :", VAULTEXEC_LEASE_TTL="5s").wait_for("ready") as app:
            self.assertEqual(app.stop(2), 137)
            self.ends_with_its_lease()
