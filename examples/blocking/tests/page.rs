//! The page of the crate `spop` shows the heart of this agent, which is run against `spop-check` and behind HAProxy.

const AGENT: &str = include_str!("../src/main.rs");
const PAGE: &str = include_str!("../../../spop/src/lib.rs");

#[test]
fn the_crates_page_shows_how_this_agent_drives_a_connection() {
    let start = AGENT.find("/// Drives one connection to its end.").expect("the heart");
    let end = AGENT.find("/// Answers what is to be answered.").expect("what follows the heart");
    let line = |line: &str| format!("//! {line}").trim_end().to_owned();
    let heart: Vec<_> = AGENT[start..end].trim_end().lines().map(line).collect();
    assert!(PAGE.contains(&heart.join("\n")), "spop/src/lib.rs, \"Drive a connection\", has other lines");
}
