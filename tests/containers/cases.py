"""What every case stands on."""
import unittest

import servers
from docker import Container, until

READY = "echo ready; exec sleep 1000"
# In the image that has nothing but a static busybox.
BARE_READY = ["/busybox", "sh", "-c", "echo ready; exec /busybox sleep 1000"]
# As docker-compose.yml locks its application down.
LOCKED_DOWN = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"]


class Case(unittest.TestCase):
    """At its end nothing may be left in either server."""

    def setUp(self):
        self.servers = servers.shared()
        self.addCleanup(self.servers.assert_nothing_left)

    def ends_with_its_lease(self):
        """What a vaultexec leaves that was not let clean up: the user for the lease's time, the token for its own."""
        self.assertEqual(self.servers.roles(), 1)
        until(lambda: self.servers.roles() == 0, "the lease ends", 30)
        self.assertEqual(self.servers.left(), ["1 tokens"])
        self.servers.revoke_tokens()

    def app(self, *words, image="app", options=(), **env):
        """vaultexec as the entry point, with the words as its command."""
        return Container(image, *words, options=options, env=self.servers.env(**env))

    def sleeper(self, script=READY, **more):
        """One that is up and waits for its end."""
        return self.app("sh", "-c", script, **more).wait_for("ready")

    def ends(self, container, code, *told):
        self.assertEqual(container.wait(), code, container.said())
        for text in told:
            self.assertIn(text, container.said())
