//! What `/proc` says about a process.

use std::collections::BTreeMap;
use std::fs;

/// The one-letter state: R, S, D, T (stopped), Z (zombie)… `None` when there is no such process.
pub fn state(pid: i32) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// The fields of `/proc/<pid>/stat` from the state on: state, ppid, pgrp, session, tty_nr, tpgid…
pub fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it stands in parentheses and may have any character.
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// One line of `/proc/<pid>/status`, e.g. `SigBlk`, `SigIgn`, `SigCgt`, `Uid`.
pub fn status_field(pid: i32, name: &str) -> Option<String> {
    status(pid)?.remove(name)
}

/// All lines of `/proc/<pid>/status`.
pub fn status(pid: i32) -> Option<BTreeMap<String, String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pairs = status.lines().filter_map(|line| line.split_once(':'));
    Some(
        pairs
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect(),
    )
}

/// Whether `signal` is in a mask as `status_field` gives it.
pub fn mask_has(mask: &str, signal: i32) -> bool {
    u64::from_str_radix(mask, 16).is_ok_and(|bits| bits & (1 << (signal - 1)) != 0)
}

/// The process's children without vaultexec's companion, which is nobody's business.
pub fn children(pid: i32) -> Vec<i32> {
    let mut children = all_children(pid);
    children.retain(|child| status_field(*child, "Name").as_deref() != Some(COMPANION));
    children
}

/// The companion's name in the process table.
pub const COMPANION: &str = "lease-guard";

/// The process's children, of all its threads.
pub fn all_children(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(
            list.split_whitespace()
                .filter_map(|child| child.parse::<i32>().ok()),
        );
    }
    children.sort_unstable();
    children
}

/// The children that are dead and not reaped.
pub fn zombies(pid: i32) -> Vec<i32> {
    children(pid)
        .into_iter()
        .filter(|child| state(*child) == Some('Z'))
        .collect()
}

/// The arguments a process was started with.
pub fn arguments(pid: i32) -> Vec<Vec<u8>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut parts: Vec<Vec<u8>> = line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    parts.pop();
    parts
}

/// The living processes of a session. Zombies are left out: in a container nobody may ever reap an orphan.
pub fn session_members(session: i32) -> Vec<i32> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Some(fields) = stat_fields(pid) else {
            continue;
        };
        if fields
            .get(3)
            .is_some_and(|field| *field == session.to_string())
            && !["Z", "X"].contains(&fields[0].as_str())
        {
            members.push(pid);
        }
    }
    members
}
