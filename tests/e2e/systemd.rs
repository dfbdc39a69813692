//! systemd as the supervisor: the unit that is given to be copied, and notifications.

use crate::support::*;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

const UNIT: &str = include_str!("../../examples/myapp.service");

/// A path of this test process's own.
fn scratch(name: &str) -> PathBuf {
    let name = format!("{}-{name}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// All values that the unit gives a key.
fn values(key: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .collect()
}

/// The value of a key that stands in the unit once.
#[track_caller]
fn value(key: &str) -> &'static str {
    let all = values(key);
    assert_eq!(all.len(), 1, "{key}: {all:?}");
    all[0]
}

/// The seconds behind a flag of the unit's command line.
#[track_caller]
fn seconds_of(flag: &str) -> u64 {
    let mut words = value("ExecStart")
        .split(' ')
        .skip_while(|word| *word != flag);
    let duration = words.nth(1).unwrap_or_else(|| panic!("no {flag}"));
    humantime::parse_duration(duration).unwrap().as_secs()
}

/// What systemd says of a unit with this text, where the programs are in place.
#[track_caller]
fn verified(text: &str) -> Finished {
    let text = text
        .replace("/usr/local/bin/vaultexec", &Run::binary())
        .replace("/usr/local/bin/myapp", Probe::path().to_str().unwrap());
    let folder = scratch("unit");
    fs::create_dir_all(&folder).unwrap();
    let unit = folder.join("myapp.service");
    fs::write(&unit, text).unwrap();
    let verify = Run::of("systemd-analyze").args(["verify", "--man=no"]);
    let verified = verify.arg(&unit).output();
    fs::remove_dir_all(&folder).unwrap();
    verified
}

#[test]
fn systemd_accepts_the_unit() {
    verified(UNIT).assert_code(0).assert_silent();
    // It tells when it does not.
    let broken = verified(&UNIT.replace("KillMode=mixed", "KillModus=mixed"));
    broken.stderr_contains("KillModus");
}

#[test]
fn the_unit_leaves_the_time_that_stopping_takes() {
    let stop: u64 = value("TimeoutStopSec").parse().unwrap();
    let worst = seconds_of("--kill-after") + seconds_of("--revoke-timeout");
    assert!(stop >= worst + 5, "{stop} s for {worst} s");
    let start: u64 = value("TimeoutStartSec").parse().unwrap();
    assert!(
        start >= 60,
        "the default of --start-timeout, and as much for the command"
    );
    // Else the command would get a TERM from systemd too, or its READY=1 not be listened to.
    assert_eq!((value("KillMode"), value("NotifyAccess")), ("mixed", "all"));
}

/// A run as systemd would start the unit: with its variables and its command line, and `%d` in place. Only where the server and the
/// database are is the tenant's.
fn as_the_unit(tenant: &Tenant, credentials: &Path, child: Vec<String>) -> Run {
    fs::create_dir_all(credentials).unwrap();
    for loaded in values("LoadCredential") {
        let (name, _) = loaded.split_once(':').unwrap();
        let value = match name {
            "role-id" => tenant.role_id(),
            "secret-id" => tenant.secret_id(),
            other => panic!("{other}: unknown to this test"),
        };
        folder::write_secret(&credentials.join(name), value);
    }
    let mut run = tenant.command_without_secret();
    let pairs = values("Environment")
        .into_iter()
        .flat_map(|line| line.split(' '));
    for (name, value) in pairs.filter_map(|pair| pair.split_once('=')) {
        let value = value.replace("%d", credentials.to_str().unwrap());
        if !run.environment().contains_key(std::ffi::OsStr::new(name)) {
            run = run.env(name, value);
        }
    }
    let line = value("ExecStart");
    let flags = line.split(' ').skip(1).take_while(|word| *word != "--");
    run.args(flags).child(child)
}

#[test]
fn ready_from_the_command_reaches_systemd_as_its_own() {
    let tenant = Tenant::new(Servers::shared());
    let (path, credentials) = (scratch("notify"), scratch("credentials"));
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    setsockopt(&socket, sockopt::PassCred, &true).unwrap();
    let run = as_the_unit(
        &tenant,
        &credentials,
        Probe::command(&["notify", "READY=1"]),
    );
    let mut running = run.env("NOTIFY_SOCKET", &path).stdin_piped().spawn();
    let ready = running.wait_for_line("ready");
    let child: i32 = ready.strip_prefix("ready ").unwrap().parse().unwrap();

    let mut text = [0u8; 64];
    let mut room = nix::cmsg_space!(nix::libc::ucred);
    let mut pieces = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::empty();
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut pieces, Some(&mut room), flags);
    let message = message.expect("no notification");
    let sender = message.cmsgs().unwrap().find_map(|along| match along {
        ControlMessageOwned::ScmCredentials(sender) => Some(sender),
        _ => None,
    });
    let (sender, length) = (sender.expect("no sender"), message.bytes);
    assert_eq!(&text[..length], b"READY=1");
    // systemd knows vaultexec as the main process, and takes the command for one of the service's by its control group.
    assert_eq!(sender.pid(), child);
    assert_eq!(
        procfs::stat_fields(child).unwrap()[1],
        running.pid().to_string()
    );
    assert_eq!(sender.uid(), nix::unistd::geteuid().as_raw());

    // `systemctl stop`: to the main process alone.
    running.signal(libc::SIGTERM);
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    running.say("exit 0");
    running.wait().assert_code(0).assert_quiet_stderr();
    // vaultexec itself has said nothing to systemd.
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0u8; 64]).is_err());
    let _ = (fs::remove_file(&path), fs::remove_dir_all(&credentials));
    tenant.assert_nothing_left();
}
