//! Ways to log in other than AppRole, each against the real server.

mod token;
