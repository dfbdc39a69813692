"""One measurement a function; each takes `start`, which turns a command into a tool's arguments."""
import contextlib
import os
import signal
import subprocess
import time

import server

# Longer than any answer takes here; what has not happened by then does not happen.
PATIENCE = 15


@contextlib.contextmanager
def running(arguments):
    """A tool with its command, in a session of their own; whatever is left of them at the end is killed."""
    run = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, start_new_session=True)
    command = []
    try:
        yield run, command
    finally:
        for pid in [run.pid, *command]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.stdout.close()
        run.wait()


def started(run, command):
    """Waits for the command's first line, past what the tool itself prints, and keeps its process id."""
    for line in run.stdout:
        if line.startswith("started "):
            command.append(int(line.split()[1]))
            return
    raise SystemExit(f"compare: {run.args} has not started the command; exit {run.wait()}")


def times(start):
    """Until the command starts, and until the tool ends, in seconds."""
    begin = time.perf_counter()
    with running(start(["sh", "-c", "echo started $$"])) as (run, command):
        started(run, command)
        until_start = time.perf_counter() - begin
        run.wait(PATIENCE)
        return until_start, time.perf_counter() - begin


def descendants(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as children:
        return [pid, *(found for child in children.read().split() for found in descendants(int(child)))]
    return []


def kilobytes(path, field):
    with open(path) as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith(field + ":")), 0)


def memory(start):
    """The share of the tool's processes while the command runs, and the most that each was resident with, in KiB."""
    with running(start(["sh", "-c", "echo started $$; sleep 60; :"])) as (run, command):
        started(run, command)
        # What a tool does after the start is done by then.
        time.sleep(2)
        theirs = set(descendants(command[0]))
        tool = [pid for pid in descendants(run.pid) if pid not in theirs]
        share = sum(kilobytes(f"/proc/{pid}/smaps_rollup", "Pss") for pid in tool)
        peak = sum(kilobytes(f"/proc/{pid}/status", "VmHWM") for pid in tool)
        for pid in theirs:
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(PATIENCE)
    server.tidy_up()
    return share, peak


def ends_with(start, code):
    """The tool's exit code for a command that exits with `code`, and the roles that are left."""
    with running(start(["sh", "-c", f"echo started $$; exit {code}"])) as (run, command):
        started(run, command)
        exit_code = run.wait(PATIENCE)
    left = server.roles()
    server.tidy_up()
    return exit_code, left


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# It answers a TERM with the exit code 3; on its own it goes on for longer than anybody waits.
PATIENT_COMMAND = ["sh", "-c", "trap 'echo heard; exit 3' TERM; echo started $$; for i in $(seq 600); do sleep 0.1; done"]


def told(start, number):
    """What becomes of a tool, its command and its roles after a signal to the tool alone, as a supervisor sends it."""
    with running(start(PATIENT_COMMAND)) as (run, command):
        started(run, command)
        time.sleep(0.5)
        os.kill(run.pid, number)
        try:
            code = run.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        # The roles are counted when whoever cleans up has had a moment for it.
        time.sleep(2)
        goes_on = alive(command[0])
        left = server.roles()
        for pid in [run.pid, *command]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A process that the command has left has the other end, for as long as its `sleep` takes.
        heard = "heard" in run.stdout.read()
    server.tidy_up()
    # Negative is Python's for "killed by"; a shell says 128 and the signal.
    return {"heard": heard, "goes_on": goes_on, "code": code if code is None or code >= 0 else 128 - code, "left": left}
