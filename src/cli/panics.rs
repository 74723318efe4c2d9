//! A panic anywhere ends the process, with a report as the last line of its log: a bridge that lost a task would look alive
//! and set nobody. The service manager starts it again, and Graph forgets what is not refreshed.

use std::panic::PanicHookInfo;

/// `EX_SOFTWARE` of sysexits.h
const SOFTWARE: i32 = 70;
/// As much of what is said in a panic as is logged, bytes.
const LONGEST: usize = 1_000;

/// From here on a panic of any thread or task ends the process with exit code 70.
pub(super) fn end_the_process() {
    std::panic::set_hook(Box::new(|panic| {
        report(panic);
        std::process::exit(SOFTWARE);
    }));
}

fn report(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("(no text)");
    let said = &said[..said.floor_char_boundary(LONGEST)];
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        version = env!("CARGO_PKG_VERSION"),
        place = place.as_deref().unwrap_or("-"),
        thread = thread.name().unwrap_or("-"),
        said,
        "Panic: this is a fault of the program; ended, so that no half of it lives on. Please report this line."
    );
}
