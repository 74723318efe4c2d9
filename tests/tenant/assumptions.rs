//! The table of what Graph is taken to do.

use std::collections::BTreeSet;
use std::path::Path;

use presence_bridge::sandbox::tenant::{Basis, assumptions};

#[test]
fn each_row_says_what_it_rests_on() {
    let rows = assumptions();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "no name twice");
    for row in &rows {
        assert!(row.about.ends_with('.') && !row.source.is_empty(), "{row:?}");
        assert!(row.basis == Basis::Assumed || row.source != "none", "somebody must have said so: {row:?}");
    }
    for basis in [Basis::Documented, Basis::Observed, Basis::Assumed] {
        assert!(rows.iter().any(|row| row.basis == basis));
    }
}

#[test]
fn a_refusal_is_made_in_the_table_only() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox/tenant");
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 10);
    for path in files.iter().filter(|path| !path.ends_with("assumptions.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for made in ["Refusal(4", "Refusal(5", "NoToken(4", "AADSTS7", "InvalidArgument\""] {
            let allowed = path.ends_with("throttle.rs") && made == "Refusal(4"; // with code and message from the table
            assert!(allowed || !text.contains(made), "{made} in {}", path.display());
        }
    }
}
