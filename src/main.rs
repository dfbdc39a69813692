//! The `vaultexec` command. The crate's documentation (`lib.rs`) has the overview.
#![forbid(unsafe_code)]

fn main() {
    vaultexec::main()
}
