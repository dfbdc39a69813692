"""The images that the Dockerfile makes, and what is copied from them into others."""
import hashlib
import io
import json
import re
import subprocess
import tarfile

from cases import Case
from docker import PREFIX, ROOT, Container, command, docker


def file_of(image, path):
    """The tar header's mode and owner of a file in an image, and its content."""
    name = docker("create", f"{PREFIX}/{image}", "true").stdout.strip()
    try:
        packed = subprocess.run(["docker", "cp", f"{name}:{path}", "-"], stdout=subprocess.PIPE, check=True).stdout
    finally:
        docker("rm", name)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        [member] = archive.getmembers()
        return member, archive.extractfile(member).read()


class Image(Case):
    def test_the_image_is_small_and_says_what_it_is(self):
        about = json.loads(docker("inspect", f"{PREFIX}/vaultexec").stdout)[0]
        self.assertLess(about["Size"], 6_000_000)
        config = about["Config"]
        self.assertEqual((config["User"], config["Entrypoint"], config["Cmd"]), ("65532:65532", ["/vaultexec"], ["--help"]))
        label = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
        cargo = open(f"{ROOT}/Cargo.toml").read()
        for key in ("version", "description"):
            self.assertEqual(label[key], re.search(f'^{key} = "(.*)"$', cargo, re.M)[1])
        self.assertEqual(label["title"], "vaultexec")
        self.assertEqual(label["revision"], command("git", "-C", ROOT, "rev-parse", "HEAD").stdout.strip())

    def test_by_itself_it_shows_its_help(self):
        with Container("vaultexec", network=None) as tool:
            self.assertEqual(tool.wait(), 0)
            self.assertIn("Usage: vaultexec", tool.said())

    def test_its_user_may_run_the_binary_and_not_read_it(self):
        for image, path in (("vaultexec", "/vaultexec"), ("example", "/usr/local/bin/vaultexec"), ("app", "/usr/local/bin/vaultexec")):
            member, _ = file_of(image, path)
            self.assertEqual((oct(member.mode & 0o7777), member.uid, member.gid), ("0o711", 0, 0), image)

    def test_all_images_have_the_same_binary(self):
        paths = (("build", "/src/target/dist/vaultexec"), ("vaultexec", "/vaultexec"), ("example", "/usr/local/bin/vaultexec"))
        sums = {hashlib.sha256(file_of(image, path)[1]).hexdigest() for image, path in paths}
        self.assertEqual(len(sums), 1)

    def test_the_authorities_are_those_of_the_image_to_run_in(self):
        path = "/etc/ssl/certs/ca-certificates.crt"
        shipped = file_of("vaultexec", path)[1]
        self.assertGreater(shipped.count(b"BEGIN CERTIFICATE"), 50)
        self.assertEqual(shipped, file_of("base", path)[1])

    def test_the_image_holds_the_binary_and_the_authorities_and_nothing_else(self):
        name = docker("create", f"{PREFIX}/vaultexec").stdout.strip()
        packed = subprocess.run(["docker", "export", name], stdout=subprocess.PIPE, check=True).stdout
        docker("rm", name)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            files = [member.name for member in archive if member.isfile() and member.size]
        self.assertEqual(sorted(files), ["etc/ssl/certs/ca-certificates.crt", "vaultexec"])

    def test_names_are_found_where_there_is_no_name_service_switch(self):
        address = self.servers.vault.address()
        for name, options in (("vault", []), ("in-hosts.example", [f"--add-host=in-hosts.example:{address}"])):
            with self.app("/busybox", "true", image="bare", options=options, VAULT_ADDR=f"http://{name}:8200") as app:
                self.ends(app, 0)
        with self.app("/busybox", "true", image="bare", VAULT_ADDR="http://nowhere.invalid:8200", VAULTEXEC_START_TIMEOUT="1s") as app:
            self.ends(app, 125, "nowhere.invalid")

    def test_tls_with_an_authority_of_ones_own_works_where_there_is_nothing_else(self):
        start = ("vault server -dev -dev-tls -dev-tls-cert-dir=/tmp -dev-root-token-id=root "
                 "-dev-listen-address=0.0.0.0:8200")
        with Container("vault", "-c", start, options=["--entrypoint=sh", "--user=vault", "--env=HOME=/home/vault",
                                                      "--hostname=tls.example", "--network-alias=tls.example"]) as server:
            server.wait_for("Root Token")
            ca = server.execute("cat", "/tmp/vault-ca.pem").stdout
            about = dict(VAULT_ADDR="https://tls.example:8200", VAULTEXEC_START_TIMEOUT="5s")
            # That server has no such login: its own answer shows that it was reached, and trusted.
            with self.app("/busybox", "true", image="bare", VAULT_CACERT_BYTES=ca, **about) as app:
                self.ends(app, 125, "cannot log in at auth/approle: permission denied (403)")
            with self.app("/busybox", "true", image="bare", **about) as app:
                self.ends(app, 125, "certificate")
