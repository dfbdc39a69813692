"""What cannot work says so in one line: no engine, no right to it, images that cannot be had."""
import os
import socket
import sys
import tempfile
import unittest

from docker import PREFIX, ROOT, command


def without(**env):
    """`make test-containers`, where there is no engine."""
    return command(sys.executable, f"{ROOT}/tests/containers", check=False, env={**os.environ, **env})


class BadInput(unittest.TestCase):
    def assert_one_line(self, done, *told):
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done)
        self.assertTrue(done.stderr.startswith("test-containers: the container tests need a Docker engine"), done)
        for text in told:
            self.assertIn(text, done.stderr)

    def test_no_engine_is_a_failure_and_told(self):
        self.assert_one_line(without(DOCKER_HOST="unix:///nowhere/docker.sock"), "start it (systemctl start docker)")
        self.assert_one_line(without(PATH="/nowhere"), "install one (Debian: apt-get install docker.io)")

    def test_no_right_to_the_engines_socket_is_a_failure_and_told(self):
        # A socket that a user without a name may not write to.
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as closed:
            path = f"{folder}/docker.sock"
            closed.bind(path)
            closed.listen()
            os.chmod(path, 0o600)
            os.chmod(folder, 0o755)
            user = [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
            if user:
                os.chown(path, 65534, 65534)
            else:
                os.chmod(path, 0o000)
            done = command(*user, sys.executable, f"{ROOT}/tests/containers", check=False,
                           env={**os.environ, "DOCKER_HOST": f"unix://{path}"})
            self.assert_one_line(done, "usermod -aG docker")

    def test_a_base_image_that_cannot_be_had_is_told_with_the_setting_for_another_one(self):
        nowhere = "127.0.0.1:1/no-such-image"
        others = [f"RUST_IMAGE={PREFIX}/rust", f"RUN_IMAGE={PREFIX}/base"]
        for argument in ("RUST_IMAGE", "RUN_IMAGE"):
            with self.subTest(argument=argument):
                # The last one holds.
                done = command("make", "-C", ROOT, "image", "TAG=vaultexec-test/never", *others, f"{argument}={nowhere}", check=False,
                               timeout=600)
                self.assertNotEqual(done.returncode, 0)
                told = done.stdout + done.stderr
                self.assertIn("127.0.0.1:1", told)
                self.assertIn(f"FROM ${{{argument}}}", told)
                self.assertIn("name others: make image RUST_IMAGE=", told)
