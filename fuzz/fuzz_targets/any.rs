//! The target that has the program's own name.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vaultexec::fuzz::run(env!("CARGO_BIN_NAME"), input));
