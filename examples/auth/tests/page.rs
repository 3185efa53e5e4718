//! The page that shows the agent.

#[test]
fn the_page_shows_the_agent_as_it_is_in_50_lines_at_most() {
    let page = include_str!("../../../docs/agent.md");
    let code = include_str!("../src/main.rs").split("\n#[cfg(test)]").next().unwrap();
    assert!(page.contains(&format!("```rust\n{code}```")), "copy src/main.rs into docs/agent.md");
    assert!(code.lines().filter(|line| !line.is_empty()).count() <= 50);
}
