#![no_main]

#[path = "../../tests/corpus/rules.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::run(input));
