//! The defaults and bounds of the settings, in one place.

use std::time::Duration;

/// As the official client.
pub const ADDRESS: &str = "https://127.0.0.1:8200";
/// As the official client's `VAULT_CLIENT_TIMEOUT`.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long transient faults are retried before the child starts.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long cleaning up may take.
pub const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a child that is asked to end has until KILL.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that takes longer than this is given up, and another is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No time-out may be shorter: nothing can be done in less.
pub const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// No lease may be shorter: it could not be renewed in time, and the server counts in seconds.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(5);
/// No file of certificates or keys is longer, in bytes; the system's own authorities are half a
/// mebibyte.
pub const LONGEST_PEM: u64 = 16 << 20;
