//! End-to-end tests: the real binary against a real OpenBao (or Vault) and a real PostgreSQL.
//!
//! One test binary, so that all tests share the two servers. `support` holds everything that is not a test.

// A test says what went wrong by panicking, and speaks to libc where the standard library hides what is to be observed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![allow(clippy::pedantic, clippy::indexing_slicing)]
#![allow(missing_docs, clippy::disallowed_methods, clippy::missing_panics_doc)]

mod addresses;
mod bad_input;
mod caching_proxy;
mod chain;
mod check;
mod child_environment;
mod cluster;
mod crashes;
mod delivery;
mod deploy;
mod descriptors;
mod drivers;
mod engines;
mod exit_codes;
mod faults_at_start;
mod gateways;
mod groups;
mod handover;
mod hostile;
mod inspection;
mod login_refusals;
mod logins;
mod mass_end;
mod memory;
mod messages;
mod no_revoke;
mod other_users;
mod outages;
mod pid_1;
mod refused_calls;
mod renewal;
mod revocation;
mod revocation_failures;
mod revocation_signals;
mod rotation;
mod rotation_failures;
mod rotation_races;
mod secret_files;
mod settings;
mod several;
mod shells;
mod signals;
mod soak;
mod static_roles;
mod support;
mod support_works;
mod systemd;
mod terminal;
mod tls;
mod told_times;
mod transparency;
mod wait_login;
mod waits;
mod wrapping;
