//! The SPOE file, for a test that wants its own.

use crate::config::push_indented;

/// The SPOE file of an engine with one agent, built line by line.
///
/// It sets what every test wants: a variable prefix that is the engine's name, `option set-on-error error`, logs, the
/// backend `agents`, and the timeouts that HAProxy up to 3.0 warns about when they are missing.
#[derive(Clone, Debug)]
pub struct Spoe {
    engine: String,
    agent: String,
    names: String,
    sections: String,
    processing: String,
}

impl Spoe {
    /// An engine, and the prefix of its variables.
    pub fn new(engine: &str) -> Self {
        let (agent, names, sections) = Default::default();
        // The time to answer is long, because a test on a busy machine is about the answer.
        Self { engine: engine.to_owned(), agent, names, sections, processing: "5s".to_owned() }
    }

    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// `timeout processing`, such as `"500ms"`; 5 s if not given.
    pub fn processing(mut self, timeout: impl Into<String>) -> Self {
        self.processing = timeout.into();
        self
    }

    /// Adds a line to the section of the agent, such as `option continue-on-error`.
    pub fn agent(mut self, line: &str) -> Self {
        push_indented(&mut self.agent, line);
        self
    }

    /// Adds a message with its lines, such as `["args ip=src", "event on-client-session"]`.
    pub fn message(mut self, name: &str, lines: &[&str]) -> Self {
        self.names += " ";
        self.names += name;
        self.section(&format!("spoe-message {name}"), lines)
    }

    /// Adds a section that the agent's own does not list, such as `spoe-group g` with `["messages m"]`.
    pub fn section(mut self, header: &str, lines: &[&str]) -> Self {
        self.sections += &format!("\n{header}\n");
        lines.iter().for_each(|line| push_indented(&mut self.sections, line));
        self
    }

    /// The text of the file.
    pub fn to_conf(&self) -> String {
        let Self { engine, agent, names, sections, processing } = self;
        let list = if names.is_empty() { String::new() } else { format!("    messages{names}\n") };
        format!(
            "[{engine}]\nspoe-agent {engine}-agent\n{list}    option var-prefix {engine}\n    \
             option set-on-error error\n    timeout hello 5s\n    timeout idle 2m\n    \
             timeout processing {processing}\n    use-backend agents\n    log global\n{agent}{sections}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_land_in_their_sections() {
        let spoe = Spoe::new("e").processing("1s").message("m1", &["args src"]).message("m2", &["args dst"]);
        let text = spoe.section("spoe-group g", &["messages m2"]).agent("groups g").to_conf();
        assert!(text.starts_with("[e]\nspoe-agent e-agent\n    messages m1 m2\n"), "{text}");
        assert!(
            text.contains("    timeout processing 1s\n") && text.contains("\n    groups g\n\n"),
            "{text}"
        );
        assert!(text.ends_with("spoe-message m2\n    args dst\n\nspoe-group g\n    messages m2\n"), "{text}");
        assert!(!Spoe::new("e").to_conf().contains("messages"));
    }
}
