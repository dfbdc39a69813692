"""The tools that are compared: how each is told to start a command, as a list of arguments."""
import json
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


class Tools:
    """`work` is a folder with handover/role-id and handover/secret-id; the rest is in the environment."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, pathlib.Path(work)
        self.all = {
            "vaultexec": self.vaultexec,
            "[`bao agent`](scripts/compare/agent.hcl) with `exec`": self.agent,
            "[a script](scripts/compare/exec.sh) that ends with `exec`": self.exec_script,
            "[a script](scripts/compare/trap.sh) with curl and `trap`": self.trap_script,
        }

    def vaultexec(self, command):
        return [self.binary, "--", *command]

    def agent(self, command):
        text = (HERE / "agent.hcl").read_text()
        text = text.replace("HANDOVER", str(self.work / "handover")).replace("COMMAND", json.dumps(command))
        config = self.work / "agent.hcl"
        config.write_text(text)
        return [os.environ["BAO"], "agent", "-log-level=error", f"-config={config}"]

    def exec_script(self, command):
        return ["sh", str(HERE / "exec.sh"), *command]

    def trap_script(self, command):
        return ["bash", str(HERE / "trap.sh"), *command]
