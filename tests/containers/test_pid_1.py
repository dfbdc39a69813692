"""vaultexec as a container's first process."""
import json
import os
import pty
import shlex
import tempfile
import time

from cases import BARE_READY, LOCKED_DOWN, Case
from docker import NETWORK, PREFIX, docker


class Ends(Case):
    def test_docker_stop_ends_it_by_term_with_each_way_to_start_it(self):
        for options in ([], ["-i"], ["-t"], ["-i", "-t"], ["--init"], ["--init", "-t"], LOCKED_DOWN, ["--user=12345:54321"],
                        ["--user=0:0"], ["--cap-drop=ALL"], ["--ulimit=nofile=64:64"], ["--env=LANG=tr_TR.UTF-8"]):
            with self.subTest(options=options), self.sleeper(options=options) as app:
                self.assertEqual(app.stop(), 143, app.said())
                self.servers.assert_nothing_left()

    def test_docker_stop_ends_it_in_an_image_with_nothing_else(self):
        for options in ([], LOCKED_DOWN, ["--memory=12m", "--memory-swap=12m"]):
            with self.subTest(options=options), self.app(*BARE_READY, image="bare", options=options).wait_for("ready") as app:
                self.assertEqual(app.stop(), 143, app.said())
                self.servers.assert_nothing_left()

    def test_a_signal_that_ends_the_command_is_its_exit_code(self):
        for name, number in (("INT", 2), ("HUP", 1), ("QUIT", 3), ("USR1", 10), ("ALRM", 14), ("RTMAX", 64)):
            with self.subTest(signal=name), self.sleeper() as app:
                self.ends(app.kill(name), 128 + number)
                self.servers.assert_nothing_left()

    def test_a_command_that_dies_by_itself_is_its_exit_code(self):
        for name, number in (("KILL", 9), ("SEGV", 11), ("TERM", 15)):
            for init in ([], ["--init"]):
                with self.subTest(signal=name, init=init), self.app("sh", "-c", f"kill -{name} $$", options=init) as app:
                    self.ends(app, 128 + number)
                    self.servers.assert_nothing_left()

    def test_exit_codes_are_the_commands(self):
        for words, code in ((["true"], 0), (["sh", "-c", "exit 7"], 7), (["/etc/passwd"], 126), (["/nowhere"], 127)):
            with self.subTest(words=words), self.app(*words) as app:
                self.ends(app, code)
                self.servers.assert_nothing_left()

    def test_a_command_that_handles_term_ends_as_it_likes(self):
        with self.sleeper("trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done") as app:
            self.assertEqual(app.stop(), 3)

    def test_orphans_are_reaped(self):
        # Thirty orphans end while the command lives; then no zombie is left.
        script = ("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sleep 0.1 &); done; sleep 1; "
                  "ps -eo stat= | grep -c ^Z; ps -eo stat= | grep -c .")
        for init in ([], ["--init"]):
            with self.subTest(init=init), self.app("sh", "-c", script, options=init) as app:
                self.ends(app, 0)
                self.assertEqual(app.said().split()[0], "0", app.said())

    def test_ctrl_c_at_a_terminal_ends_the_command_by_int(self):
        env = [f"--env={name}={value}" for name, value in self.servers.env().items()]
        words = ["docker", "run", "--rm", "-it", f"--network={NETWORK}", *env, f"{PREFIX}/app", "sh", "-c", "echo re''ady; exec sleep 1000"]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvp(words[0], words)
        shown = b""
        while b"ready" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        try:
            while os.read(terminal, 4096):
                pass
        except OSError:
            pass  # the terminal has no other end any more
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 130)
        os.close(terminal)

    def test_standard_input_reaches_the_command(self):
        env = [f"--env={name}={value}" for name, value in self.servers.env().items()]
        words = ["run", "--rm", "-i", f"--network={NETWORK}", *env, f"{PREFIX}/app", "psql", "-qAt"]
        done = docker(*words, input="SELECT 'I am ' || current_user;\n")
        self.assertTrue(done.stdout.startswith("I am v-approle-app-"), done)
        self.assertEqual(done.stderr, "")

    def test_a_command_that_ignores_term_is_killed_in_time_for_its_role_to_go(self):
        ignores = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
        with self.sleeper(ignores, VAULTEXEC_KILL_AFTER="1s") as app:
            self.assertEqual(app.stop(10), 137)
            self.assertIn("is killed", app.said())
            self.servers.assert_nothing_left()
        # Without it the engine's own KILL takes vaultexec along, and only the lease's end is left.
        with self.sleeper(ignores, VAULTEXEC_LEASE_TTL="5s") as app:
            self.assertEqual(app.stop(1), 137)
            self.ends_with_its_lease()

    def test_after_a_kill_of_the_first_process_the_role_ends_by_its_ttl(self):
        with self.sleeper(VAULTEXEC_LEASE_TTL="5s") as app:
            self.ends(app.kill("KILL"), 137)
            self.ends_with_its_lease()

    def test_another_process_of_its_user_cannot_read_it(self):
        with self.sleeper() as app:
            for path in ("/proc/1/environ", "/proc/1/mem", "/usr/local/bin/vaultexec"):
                done = app.execute("cat", path, check=False)
                self.assertIn("Permission denied", done.stderr, path)
            self.assertEqual(app.stop(), 143)


class Limits(Case):
    def test_a_command_that_memory_ends_for_leaves_no_role(self):
        hungry = "b = []\nprint('ready', flush=True)\nwhile True: b.append(bytearray(b'x' * 1000000))"
        with self.app("python3", "-c", hungry, options=["--memory=64m", "--memory-swap=64m"]) as app:
            self.ends(app, 137)

    def test_a_command_that_takes_every_process_keeps_its_credentials_and_leaves_no_role(self):
        greedy = """
import os, time
try:
    while os.fork(): pass
except OSError:
    print('ready', flush=True)
time.sleep(1000)
"""
        # For longer than a connection is kept, so that the server's name has to be looked up again.
        with self.app("python3", "-c", greedy, options=["--pids-limit=20"], VAULTEXEC_LEASE_TTL="15s") as app:
            app.wait_for("ready")
            time.sleep(20)
            self.assertEqual(self.servers.roles(), 1)
            self.assertEqual(app.stop(), 143, app.said())
            self.assertNotIn("panicked", app.said())

    def test_it_runs_in_twelve_megabytes(self):
        with self.app("/busybox", "true", image="bare", options=["--memory=12m", "--memory-swap=12m"]) as app:
            self.ends(app, 0)

    def test_few_processes_are_enough_or_it_says_so(self):
        codes = []
        for limit in range(1, 9):
            with self.subTest(limit=limit), self.app("/busybox", "true", image="bare", options=[f"--pids-limit={limit}"],
                                                              VAULTEXEC_START_TIMEOUT="1s") as app:
                codes.append(app.wait())
                if codes[-1] != 0:
                    self.assertEqual(codes[-1], 125, app.said())
                    self.assertIn("vaultexec: ", app.said())
                self.servers.assert_nothing_left()
        self.assertEqual(codes, sorted(codes, reverse=True), "what is enough stays enough")
        self.assertEqual(codes[-3:], [0, 0, 0], "six are enough")


class Refused(Case):
    """System calls that a sandbox or an old kernel does not have."""

    NO_SUCH_CALL, NOT_PERMITTED = 38, 1

    def refusing(self, names, errno):
        profile = {"defaultAction": "SCMP_ACT_ALLOW",
                   "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno}]}
        file = tempfile.NamedTemporaryFile("w", suffix=".json")
        self.addCleanup(file.close)
        json.dump(profile, file)
        file.flush()
        return [f"--security-opt=seccomp={file.name}"]

    def test_it_does_without(self):
        calls = ["pidfd_open", "pidfd_send_signal", "close_range", "memfd_create", "timerfd_create", "statx", "getrandom"]
        cases = [([call], errno) for call in calls for errno in (self.NO_SUCH_CALL, self.NOT_PERMITTED)]
        # The C library itself takes any other answer than "no such call" for a failure.
        cases += [(["clone3"], self.NO_SUCH_CALL), ([*calls, "clone3"], self.NO_SUCH_CALL)]
        for names, errno in cases:
            with self.subTest(names=names, errno=errno):
                options = self.refusing(names, errno)
                with self.app("sh", "-c", "exit 7", options=options) as app:
                    self.ends(app, 7)
                with self.sleeper(options=options) as app:
                    self.assertEqual(app.stop(), 143, app.said())
                self.servers.assert_nothing_left()

    def test_it_does_without_proc(self):
        script = ("mkdir -p /tmp/root/etc && cd /tmp/root && cp /usr/local/bin/vaultexec /bin/busybox . && "
                  "cp /etc/resolv.conf /etc/hosts etc && exec chroot . /vaultexec -- " + shlex.join(BARE_READY))
        with self.app("sh", "-c", script, image="example", options=["--user=0:0", "--entrypoint="]) as app:
            app.wait_for("ready")
            self.assertEqual(app.stop(), 143, app.said())
