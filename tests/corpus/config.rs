//! Any text as a configuration: it is read, or everything that is wrong with it is said, with lines inside the file.

use std::path::Path;

use presence_bridge::config::Config;
use presence_bridge::presence::SourceId;
use presence_bridge::presence::topic::Pattern;

/// The target.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = || Config::parse_trusting(text, "fuzz.toml", Path::new("/nowhere"));
    match read() {
        Err(problems) => {
            assert!(!problems.problems.is_empty(), "refused without a reason");
            assert!(problems.problems.len() <= 100 + 10 * text.len(), "{} problems", problems.problems.len());
            let lines = text.matches('\n').count() + 1;
            for problem in &problems.problems {
                assert!((1..=lines).contains(&problem.line), "line {} of {lines}: {}", problem.line, problem.text);
                assert!(problem.file.is_none() && !problem.text.is_empty(), "{problem:?}");
            }
            let said = problems.to_string();
            assert_eq!(
                read().map_err(|problems| problems.to_string()).err(),
                Some(said),
                "another answer to the same text"
            );
        }
        Ok(config) => {
            let plan = &config.plan;
            for filter in plan.rules.filters() {
                let pattern = Pattern::parse(&filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
                assert_eq!(pattern.filter(), filter);
            }
            for topic in ["pbx/devstate/PJSIP/1001", "presence-bridge/in/alice/call", "a/b/c", "a", "$SYS/a"] {
                for payload in ["INUSE", "on", r#"{"a":"on","state":"on"}"#, "a=on", ""] {
                    plan.rules.evaluate(SourceId(0), topic, payload.as_bytes(), &mut |_, effect| {
                        assert!(effect.is_err() || effect.is_ok_and(|effect| effect.person < plan.people.len()));
                    });
                    plan.rules.beside(SourceId(0), topic, payload.as_bytes(), &mut |_, _, _| {});
                }
            }
            assert!(!config.sources.is_empty() && config.sources.iter().all(|source| !source.url().is_empty()));
        }
    }
}
