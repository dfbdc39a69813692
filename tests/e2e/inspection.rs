//! Nobody but root looks into vaultexec, and nobody gets rights by it.

use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn it_forbids_inspection_before_anything_else_of_its_own() {
    let calls = traced::calls(&Run::binary(), &["--version"]);
    let position = |which: &dyn Fn(&traced::Call) -> bool| calls.iter().position(which);
    let forbids = |call: &traced::Call| {
        *call
            == (
                libc::SYS_prctl,
                u64::try_from(libc::PR_SET_DUMPABLE).unwrap(),
                0,
            )
    };
    // It asks what is ignored, for the child's sake; and then Rust's runtime has a look at the standard descriptors.
    let asks = |call: &traced::Call| call.0 == libc::SYS_rt_sigaction;
    let polls = |call: &traced::Call| [libc::SYS_poll, libc::SYS_ppoll].contains(&call.0);
    let (forbids, asks, polls) = (position(&forbids), position(&asks), position(&polls));
    assert!(asks.is_some() && polls.is_some(), "{calls:?}");
    assert!(forbids.is_some(), "it does not forbid it: {calls:?}");
    assert!(forbids < asks && forbids < polls, "too late: {calls:?}");
}

/// A group of this user's, other than the one its processes have, or anybody's for root.
#[track_caller]
fn other_group() -> u32 {
    if nix::unistd::geteuid().is_root() {
        return 65534;
    }
    let ours = nix::unistd::getegid();
    let groups = nix::unistd::getgroups().unwrap();
    let other = groups.into_iter().find(|group| *group != ours);
    other
        .expect("run this test as root, or as a user who is in more than one group")
        .as_raw()
}

#[test]
fn with_a_set_user_or_group_id_bit_it_refuses_to_run() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let root = nix::unistd::geteuid().is_root();
    for (bit, user) in [(0o4000, true), (0o2000, false)] {
        if user && !root {
            // Nobody but root can make a program that runs as another user.
            continue;
        }
        let program = folder.join(format!("with-a-bit-{bit:o}-{}", std::process::id()));
        // Not by this process: what it starts elsewhere meanwhile would hold the file open, and keep it from being run.
        let copied = Run::of("cp").arg(Run::binary()).arg(&program).output();
        copied.assert_code(0);
        let (owner, group) = if user {
            (Some(65534), None)
        } else {
            (None, Some(other_group()))
        };
        std::os::unix::fs::chown(&program, owner, group).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755 | bit)).unwrap();
        let tenant = Tenant::new(Servers::shared());
        let run = tenant
            .command()
            .replaced_by(&program)
            .args(["--", "echo", "ran"])
            .output();
        let _ = fs::remove_file(&program);
        run.assert_code(125).stdout_is("");
        run.stderr_contains("set-user-ID");
        assert_eq!(run.err().lines().count(), 1, "{run}");
        tenant.assert_nothing_left();
    }
}
