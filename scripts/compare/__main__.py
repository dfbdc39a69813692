"""Measures the tools in turns, and prints a table in Markdown. Called by compare.sh with the servers up."""
import signal
import statistics
import sys

import measure
import server
from tools import Tools

binary, work, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
tools = Tools(binary, work).all
CODE = 7


def median_and_ratio(values, base):
    """The median, and the median of the ratios to vaultexec's time in the same round."""
    middle = f"{statistics.median(values) * 1000:.0f} ms"
    if values == base:
        return middle
    return f"{middle} ({statistics.median(one / other for one, other in zip(values, base)):.1f} ×)"


def in_megabytes(share, peak):
    return f"{share / 1024:.1f} MiB (at most {peak / 1024:.1f} resident)" if share else "none: it has become the command"


def what_is_left(roles):
    return "no role is left" if not roles else f"{roles} role{'s' * (roles > 1)} left"


def after_signal(found):
    tool = f"still there after {measure.PATIENCE} s" if found["code"] is None else f"exit {found['code']}"
    command = "the command hears TERM" if found["heard"] else "the command goes on" if found["goes_on"] else "the command is gone"
    return f"{command}; {tool}; {what_is_left(found['left'])}"


def rounds_of_all():
    """Each tool once a round, so that whatever else the machine does meets them all."""
    taken = {name: [] for name in tools}
    for start in tools.values():
        measure.times(start)
    for _ in range(rounds):
        server.tidy_up()
        for name, start in tools.items():
            taken[name].append(measure.times(start))
    server.tidy_up()
    return taken


def column(name, start, taken):
    until_start, until_end = zip(*taken[name])
    base_start, base_end = zip(*taken["vaultexec"])
    code, left = measure.ends_with(start, CODE)
    return [
        name,
        median_and_ratio(until_start, base_start),
        median_and_ratio(until_end, base_end),
        in_megabytes(*measure.memory(start)),
        f"exit {code}; {what_is_left(left)}",
        after_signal(measure.told(start, signal.SIGTERM)),
        after_signal(measure.told(start, signal.SIGKILL)),
    ]


taken = rounds_of_all()
rows = ["", "the command starts after", "start to end", "memory while the command runs", f"the command exits with {CODE}",
        "TERM to the tool", "KILL to the tool"]
table = list(zip(rows, *(column(name, start, taken) for name, start in tools.items())))
for number, cells in enumerate(table):
    print("| " + " | ".join(cells) + " |")
    if number == 0:
        print("|---" * len(cells) + "|")
