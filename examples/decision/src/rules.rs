//! The rules, and which of them decides over a request.

use std::fmt;
use std::net::IpAddr;
use std::path::Path as FilePath;

use ipnet::IpNet;
use serde::Deserialize;
use spop_tokio::spop::http::Header;

use crate::paths::{Path, Paths};
use crate::request::Request;
use crate::tokens::{Kinds, Token, Words};

/// The rules that are built in.
pub const DEFAULT: &str = include_str!("../rules.toml");

/// What is done with a request: the word in `txn.<prefix>.response`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The real site serves it.
    Default,
    /// It is answered with generated text.
    Garbage,
    /// The client has to show that it is a browser.
    Challenge,
}

impl Outcome {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Default, Self::Garbage, Self::Challenge];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Garbage => "garbage",
            Self::Challenge => "challenge",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rules, in the order in which they are asked. The first that holds decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The path is for everybody.
    TrustedPath,
    /// The client is in a trusted network.
    TrustedNetwork,
    /// The link comes from a garbage page.
    PoisonedUrl,
    /// The request has a Signature-Agent.
    SignatureAgent,
    /// An agent says that it collects text for language models.
    AiCrawler,
    /// All agents are trusted.
    TrustedAgent,
    /// An agent is not welcome.
    UnwantedAgent,
    /// A browser, it says, but it does not behave like one.
    MajorBrowser,
    /// The path is for those who pass the challenge.
    ChallengedPath,
    /// None of the above.
    Default,
}

impl Rule {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::TrustedPath,
        Self::TrustedNetwork,
        Self::PoisonedUrl,
        Self::SignatureAgent,
        Self::AiCrawler,
        Self::TrustedAgent,
        Self::UnwantedAgent,
        Self::MajorBrowser,
        Self::ChallengedPath,
        Self::Default,
    ];

    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TrustedPath => "trusted-path",
            Self::TrustedNetwork => "trusted-network",
            Self::PoisonedUrl => "poisoned-url",
            Self::SignatureAgent => "signature-agent",
            Self::AiCrawler => "ai-crawler",
            Self::TrustedAgent => "trusted-agent",
            Self::UnwantedAgent => "unwanted-agent",
            Self::MajorBrowser => "major-browser",
            Self::ChallengedPath => "challenged-path",
            Self::Default => "default",
        }
    }
}

/// The rules file. What is not in it is a rule that never holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    trusted_paths: Paths,
    trusted_networks: Networks,
    poisoned_urls: Option<Bare>,
    signature_agents: Option<Bare>,
    ai_crawlers: Option<Agents>,
    trusted_agents: Trusted,
    unwanted_agents: Option<Agents>,
    major_browsers: Option<Browsers>,
    challenged_paths: Paths,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Networks {
    networks: Vec<IpNet>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    outcome: Outcome,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agents {
    outcome: Outcome,
    agents: Vec<Token>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trusted {
    agents: Vec<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Browsers {
    outcome: Outcome,
    agents: Vec<Token>,
    #[serde(default)]
    except: Vec<Token>,
    sec_fetch_modes: Vec<String>,
}

/// Rules to decide with.
#[derive(Debug)]
pub struct Rules {
    file: File,
    words: Words,
}

impl Rules {
    /// Of a file's text.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let agents = |section: &Option<Agents>| section.iter().flat_map(|s| s.agents.clone()).collect();
        let (crawlers, unwanted): (Vec<_>, Vec<_>) =
            (agents(&file.ai_crawlers), agents(&file.unwanted_agents));
        let (browsers, except) =
            file.major_browsers.as_ref().map_or(Default::default(), |s| (&s.agents[..], &s.except[..]));
        let words = Words::new(&[
            (Kinds::AI_CRAWLER, &crawlers),
            (Kinds::TRUSTED, &file.trusted_agents.agents),
            (Kinds::UNWANTED, &unwanted),
            (Kinds::BROWSER, browsers),
            (Kinds::BROWSER_LIKE, except),
        ]);
        Ok(Self { words: words.map_err(|error| error.to_string())?, file })
    }

    /// Of a file, or without one the rules that are built in.
    ///
    /// # Errors
    /// If it cannot be read, or what is wrong with it, and in which line.
    pub fn load(file: Option<&FilePath>) -> Result<Self, String> {
        let Some(file) = file else { return Self::parse(DEFAULT) };
        let name = |error: &dyn fmt::Display| format!("rules {}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| name(&error))?;
        Self::parse(&text).map_err(|error| name(&error))
    }

    /// The first rule that holds, and what it says. `poison` is what marks the links of garbage pages.
    pub fn decide(&self, request: &Request<'_>, poison: &str) -> (Outcome, Rule) {
        let path = Path::new(request.path);
        let client = Client::of(request, self);
        let holds = |rule| Some((self.outcome(rule, request, &path, &client, poison)?, rule));
        Rule::ALL.into_iter().find_map(holds).unwrap_or((Outcome::Default, Rule::Default))
    }

    /// What a rule says, if it holds.
    fn outcome(
        &self,
        rule: Rule,
        request: &Request<'_>,
        path: &Path<'_>,
        client: &Client,
        poison: &str,
    ) -> Option<Outcome> {
        let file = &self.file;
        let (any, every) = (client.any_agent, client.every_agent);
        let allow = |holds: bool| holds.then_some(Outcome::Default);
        match rule {
            Rule::TrustedPath => allow(file.trusted_paths.trust(path)),
            Rule::TrustedNetwork => allow(request.src.is_some_and(|src| file.trusted_networks.contain(src))),
            Rule::PoisonedUrl => {
                file.poisoned_urls.as_ref().filter(|_| path.contains(poison.as_bytes())).map(|r| r.outcome)
            }
            Rule::SignatureAgent => {
                file.signature_agents.as_ref().filter(|_| client.signature_agent).map(|r| r.outcome)
            }
            Rule::AiCrawler => {
                file.ai_crawlers.as_ref().filter(|_| any.has(Kinds::AI_CRAWLER)).map(|r| r.outcome)
            }
            Rule::TrustedAgent => allow(every.has(Kinds::TRUSTED)),
            Rule::UnwantedAgent => {
                file.unwanted_agents.as_ref().filter(|_| any.has(Kinds::UNWANTED)).map(|r| r.outcome)
            }
            Rule::MajorBrowser => {
                let claims = any.has(Kinds::BROWSER) && !every.has(Kinds::BROWSER_LIKE);
                let lies = claims && request.tls && !client.sends_sec_fetch_mode();
                file.major_browsers.as_ref().filter(|_| lies).map(|r| r.outcome)
            }
            Rule::ChallengedPath => file.challenged_paths.cover(path).then_some(Outcome::Challenge),
            Rule::Default => Some(Outcome::Default),
        }
    }
}

impl Networks {
    fn contain(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// What the headers say of the client. Every value of a repeated header is looked at: a server behind may take any of
/// them.
#[derive(Debug, Default)]
struct Client {
    /// What some User-Agent is.
    any_agent: Kinds,
    /// What all are; nothing if there is none.
    every_agent: Kinds,
    agents: usize,
    signature_agent: bool,
    /// How many values of Sec-Fetch-Mode a browser could have sent, and could not.
    modes: usize,
    other_modes: usize,
}

impl Client {
    fn of(request: &Request<'_>, rules: &Rules) -> Self {
        let mut client = Self::default();
        let modes = rules.file.major_browsers.as_ref().map_or(&[][..], |rule| &rule.sec_fetch_modes);
        for Header { name, value } in request.headers {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            if name.eq_ignore_ascii_case(b"user-agent") {
                client.add_agent(rules.words.kinds(value));
            } else if name.eq_ignore_ascii_case(b"signature-agent") {
                client.signature_agent |= !value.is_empty();
            } else if name.eq_ignore_ascii_case(b"sec-fetch-mode") {
                let known = modes.iter().any(|mode| value.eq_ignore_ascii_case(mode.as_bytes()));
                *(if known { &mut client.modes } else { &mut client.other_modes }) += 1;
            }
        }
        client
    }

    fn add_agent(&mut self, kinds: Kinds) {
        self.any_agent = self.any_agent.or(kinds);
        self.every_agent = if self.agents == 0 { kinds } else { self.every_agent.and(kinds) };
        self.agents += 1;
    }

    fn sends_sec_fetch_mode(&self) -> bool {
        self.modes > 0 && self.other_modes == 0
    }
}

#[cfg(test)]
mod tests;
