"""Pauses, networks that go and come, servers that move, and many at once."""
import concurrent.futures
import time

from cases import READY, Case
from docker import NETWORK, Container, docker, until

# Says who it is twice a second, each time by a connection of its own.
WHO = "while :; do psql -qAtc \"SELECT 'I am ' || current_user\"; sleep 0.5; done"


class Pauses(Case):
    def test_a_pause_within_its_lease_is_not_noticed(self):
        with self.sleeper(VAULTEXEC_LEASE_TTL="10s") as app:
            docker("pause", app.name)
            time.sleep(4)
            docker("unpause", app.name)
            # Past the end of the lease that it had before.
            time.sleep(8)
            self.assertEqual(self.servers.roles(), 1)
            self.assertEqual(app.stop(), 143, app.said())
            self.assertEqual(app.said().count("ready"), 1)

    def test_after_a_pause_past_its_lease_the_command_is_started_with_new_credentials(self):
        with self.sleeper(VAULTEXEC_LEASE_TTL="5s") as app:
            docker("pause", app.name)
            until(lambda: self.servers.roles() == 0, "the lease ends", 30)
            docker("unpause", app.name)
            app.wait_for("ready", times=2)
            self.assertEqual(self.servers.roles(), 1)
            self.assertEqual(app.stop(), 143, app.said())

    def test_a_server_that_is_paused_at_the_start_is_waited_for(self):
        docker("pause", self.servers.vault.name)
        try:
            app = Container("app", "sh", "-c", READY, env=self.env)
        finally:
            time.sleep(3)
            docker("unpause", self.servers.vault.name)
        with app:
            app.wait_for("ready")
            self.assertEqual(app.stop(), 143, app.said())

    def setUp(self):
        super().setUp()
        self.env = self.servers.env()


class Networks(Case):
    def test_a_network_that_goes_and_comes_back_within_a_lease_is_no_matter(self):
        with self.sleeper(VAULTEXEC_LEASE_TTL="12s") as app:
            docker("network", "disconnect", NETWORK, app.name)
            time.sleep(6)
            docker("network", "connect", NETWORK, app.name)
            # Past the end of the lease that it had before.
            time.sleep(8)
            self.assertEqual(self.servers.roles(), 1)
            self.assertEqual(app.stop(), 143, app.said())
            self.assertEqual(app.said().count("ready"), 1)

    def test_stopped_without_a_network_it_ends_in_time_and_says_what_is_left(self):
        with self.sleeper(VAULTEXEC_LEASE_TTL="8s", VAULTEXEC_REVOKE_TIMEOUT="2s") as app:
            docker("network", "disconnect", NETWORK, app.name)
            started = time.monotonic()
            self.assertEqual(app.stop(), 143, app.said())
            self.assertLess(time.monotonic() - started, 9)
            self.assertIn("could not be revoked", app.said())
            self.ends_with_its_lease()

    def test_a_server_that_moves_to_another_address_is_found_again(self):
        vault = self.servers.vault
        with self.sleeper(WHO.replace("while", "echo ready; while", 1), VAULTEXEC_LEASE_TTL="10s") as app:
            before = vault.address()
            docker("network", "disconnect", NETWORK, vault.name)
            # Whoever comes next gets the address that has become free.
            with Container("bare", "sleep", "1000", options=["--entrypoint=/busybox"]):
                docker("network", "connect", "--alias=vault", NETWORK, vault.name)
                self.assertNotEqual(vault.address(), before)
                time.sleep(12)
                self.assertEqual(self.servers.roles(), 1)
                self.assertEqual(app.stop(), 143, app.said())
            self.assertEqual(len(set(line for line in app.said().splitlines() if line.startswith("I am"))), 1, app.said())


class Many(Case):
    def test_twenty_at_once_are_stopped_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            apps = list(pool.map(lambda _: self.app("sh", "-c", READY), range(20)))
            try:
                list(pool.map(lambda app: app.wait_for("ready"), apps))
                self.assertEqual(self.servers.roles(), 20)
                self.assertEqual(list(pool.map(lambda app: app.stop(30), apps)), [143] * 20)
                self.servers.assert_nothing_left()
            finally:
                list(pool.map(lambda app: app.__exit__(), apps))


class Again(Case):
    def test_docker_restart_takes_back_what_the_first_run_had(self):
        with self.sleeper() as app:
            docker("restart", app.name)
            app.wait_for("ready", times=2)
            self.assertEqual(self.servers.roles(), 1)
            self.assertEqual(app.stop(), 143)

    def test_a_restart_policy_starts_it_anew_with_a_secret_id_that_can_be_used_again(self):
        with self.app("sh", "-c", "echo run; exit 3", options=["--restart=on-failure:2"]) as app:
            app.wait_for("run", times=3)
            until(lambda: app.ended(), "it gives up")
            self.assertEqual(app.wait(), 3)

    def test_a_restart_policy_with_a_spent_wrapping_token_says_what_to_do(self):
        wrapped = docker("exec", "--env=VAULT_TOKEN=root", "--env=VAULT_ADDR=http://127.0.0.1:8200", self.servers.vault.name, "vault",
                         "write", "-field=wrapping_token", "-wrap-ttl=60s", "-f", "auth/approle/role/app/secret-id").stdout.strip()
        with self.app("sh", "-c", "echo run; exit 3", options=["--restart=on-failure:1"], VAULT_SECRET_ID=None,
                      VAULT_WRAPPED_SECRET_ID=wrapped) as app:
            app.wait_for("the wrapping token is spent")
            until(lambda: app.ended(), "it gives up")
            self.ends(app, 125, "hint: ")
            self.assertEqual(app.said().count("run\n"), 1, app.said())

    def test_a_second_session_beside_a_running_one_has_credentials_of_its_own(self):
        who = ["vaultexec", "--", "psql", "-qAtc", "SELECT current_user"]
        with self.sleeper(WHO.replace("while", "echo ready; while", 1)) as app:
            app.wait_for("I am v-approle-app-")
            second = app.execute(*who).stdout.strip()
            self.assertTrue(second.startswith("v-approle-app-"), second)
            self.assertNotIn(second, app.said())
            self.assertEqual(self.servers.roles(), 1)
            self.assertEqual(app.stop(), 143)
