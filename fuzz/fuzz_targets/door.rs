#![no_main]

#[path = "../../tests/corpus/door.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::run(input));
