"""Handing secrets over to a container: what works, and what does not and says so."""
import os
import tempfile

from cases import READY, Case
from docker import Container

FILE = "/run/secrets/secret-id"


class Files(Case):
    def file(self, owner, mode):
        """A file of the host with a secret id, and the option that brings it into a container."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        path = os.path.join(folder.name, "secret-id")
        # The host's user may be no root: the owner is then changed by a container.
        with open(path, "w") as file:
            file.write(self.servers.secret_id())
        with Container("base", "sh", "-c", f"chmod {mode} /f && chown {owner} /f", options=[f"--volume={path}:/f"], network=None) as change:
            self.assertEqual(change.wait(), 0, change.said())
        return [f"--volume={path}:{FILE}:ro"]

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

    def test_standard_input_needs_no_file(self):
        from docker import NETWORK, PREFIX, docker
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
