use spop_tokio::spop::http::Headers;

use super::*;

const POISON: &str = "a1b2c3d4";

fn rules(changes: &[(&str, &str)]) -> Rules {
    let text = changes.iter().fold(DEFAULT.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    Rules::parse(&text).unwrap()
}

fn request<'a>(path: &'a str, headers: &'a str) -> Request<'a> {
    Request { path: path.as_bytes(), src: None, tls: true, headers: Headers::text(headers.as_bytes()) }
}

#[track_caller]
fn expect(rules: &Rules, path: &str, headers: &str, want: (Outcome, Rule)) {
    assert_eq!(rules.decide(&request(path, headers), POISON), want, "{path} {headers}");
}

#[test]
fn rules_are_asked_in_their_order() {
    use Outcome::{Challenge, Default, Garbage};
    let rules = rules(&[
        ("networks = []", "networks = [\"10.0.0.0/8\"]"),
        ("prefix = []", "prefix = [\"/\"]"),
        ("\"indieauth\"", "\"indieauth\", \"curl\""),
    ]);
    let all = "user-agent: GPTBot indieauth Perplexity Chrome\r\nsignature-agent: x\r\n";
    expect(&rules, "/robots.txt", all, (Default, Rule::TrustedPath));
    let from = Request { src: Some([10, 1, 2, 3].into()), ..request("/a1b2c3d4", all) };
    assert_eq!(rules.decide(&from, POISON), (Default, Rule::TrustedNetwork));
    expect(&rules, "/a1b2c3d4", all, (Garbage, Rule::PoisonedUrl));
    expect(&rules, "/", all, (Garbage, Rule::SignatureAgent));
    expect(&rules, "/", "user-agent: GPTBot indieauth", (Garbage, Rule::AiCrawler));
    expect(&rules, "/", "user-agent: Perplexity curl", (Default, Rule::TrustedAgent));
    expect(&rules, "/", "user-agent: Perplexity Chrome", (Garbage, Rule::UnwantedAgent));
    expect(&rules, "/", "user-agent: Chrome", (Garbage, Rule::MajorBrowser));
    expect(&rules, "/", "user-agent: Safari", (Challenge, Rule::ChallengedPath));
    expect(&rules, "*", "", (Default, Rule::Default));
}

#[test]
fn a_rule_says_what_the_file_has_as_its_outcome() {
    let rules =
        rules(&[("[major-browsers]\noutcome = \"garbage\"", "[major-browsers]\noutcome = \"challenge\"")]);
    expect(&rules, "/", "user-agent: Firefox", (Outcome::Challenge, Rule::MajorBrowser));
}

#[test]
fn a_rule_that_is_left_out_never_holds() {
    let rules = Rules::parse("").unwrap();
    let headers = "user-agent: GPTBot Chrome\r\nsignature-agent: x\r\n";
    expect(&rules, "/a1b2c3d4", headers, (Outcome::Default, Rule::Default));
    // Not even the trusted ones, for a client without any agent.
    expect(&rules, "/", "", (Outcome::Default, Rule::Default));
}

#[test]
fn without_tls_no_browser_sends_sec_fetch_mode() {
    let plain = Request { tls: false, ..request("/", "user-agent: Chrome") };
    assert_eq!(rules(&[]).decide(&plain, POISON), (Outcome::Default, Rule::Default));
}

#[test]
fn the_error_says_which_line_is_wrong() {
    for (from, to, what) in [
        ("networks = []", "networks = [\"10.0.0.0/33\"]", "10.0.0.0/33"),
        ("\"indieauth\"", "\"\"", "two characters"),
        ("prefix = []", "prefix = [\"account\"]", "starts with /"),
        ("outcome = \"garbage\"", "outcome = \"grabage\"", "unknown variant"),
        ("[unwanted-agents]", "[unwelcome-agents]", "unwelcome-agents"),
        ("exact = []", "exact = ]", "exact = ]"),
    ] {
        let text = DEFAULT.replacen(from, to, 1);
        let line = 1 + text.lines().position(|line| line.contains(to)).unwrap();
        let error = Rules::parse(&text).unwrap_err();
        assert!(error.contains(what), "{error}");
        assert!(error.contains(&format!("line {line}")), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Rules::load(Some(FilePath::new("no-such-rules.toml"))).unwrap_err();
    assert!(error.starts_with("rules no-such-rules.toml: "), "{error}");
}
