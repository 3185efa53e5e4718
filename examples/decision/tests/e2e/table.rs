//! Requests of all kinds, and what they are served. The rows follow what iocaine 3.5.1 was observed to do; where a
//! correct filter returns something else, the row says what was seen there.

use testbed::http::Connection;

use crate::bed::{Bed, Outcome, SOON, Served, Setup, all_haproxies};
use Served::{Garbage, Refused, Site};

const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";
const SAFARI_IOS: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1";
const CHROME_IOS: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1";
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0";
const HEADLESS: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const GPTBOT: &str =
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)";
const CLAUDEBOT: &str =
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const GOOGLEBOT_EVERGREEN: &str = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/142.0.0.0 Safari/537.36";
const BINGBOT: &str = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";
const BAIDU: &str = "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)";
const KAYAK: &str = "KAYAK/2025.40 (Android 15; Pixel 9)";
const VSCODE: &str = "VSCode/1.105.1 (Linux x64)";
const XCODE: &str = "Xcode/26.0 CFNetwork/3826.400 Darwin/24.6.0";

const POISON: &str = "a1b2c3d4e5f6";
const SETUP: Setup<'_> = Setup {
    options: &["--poison-id", POISON],
    rules: &[
        ("networks = []", "networks = [\"10.0.0.0/8\", \"127.9.0.0/16\"]"),
        ("exact = []", "exact = [\"/login\"]"),
        ("prefix = []", "prefix = [\"/account/\"]"),
    ],
    fail_closed: true,
    tls: false,
    seed_message: false,
};

/// A request without its Host, and what it is served.
struct Row {
    name: &'static str,
    line: String,
    headers: Vec<Vec<u8>>,
    served: Served,
}

fn row(name: &'static str, served: Served, line: &str, headers: &[&str]) -> Row {
    let headers = headers.iter().map(|header| header.as_bytes().to_vec()).collect();
    Row { name, line: line.into(), headers, served }
}

fn get(name: &'static str, served: Served, headers: &[&str]) -> Row {
    row(name, served, "GET /", headers)
}

fn agent(name: &'static str, served: Served, agent: &str) -> Row {
    get(name, served, &[&format!("User-Agent: {agent}")])
}

fn agent_with(name: &'static str, served: Served, agent: &str, headers: &[&str]) -> Row {
    let agent = format!("User-Agent: {agent}");
    get(name, served, &[&[&*agent], headers].concat())
}

fn path(name: &'static str, served: Served, line: &str, agent: &str) -> Row {
    row(name, served, line, &[&format!("User-Agent: {agent}")])
}

fn browsers() -> Vec<Row> {
    let navigates = "Sec-Fetch-Mode: navigate";
    vec![
        agent_with("Firefox", Site, FIREFOX, &[navigates]),
        agent_with("Chrome", Site, CHROME, &[navigates]),
        agent_with("Edge", Site, EDGE, &[navigates]),
        agent_with("Chrome that loads an image", Site, CHROME, &["Sec-Fetch-Mode: no-cors"]),
        agent_with("Chrome that fetches", Site, CHROME, &["sec-fetch-mode: CORS"]),
        agent("Safari on a Mac, without Sec-Fetch-Mode", Site, SAFARI),
        agent("Safari on a phone", Site, SAFARI_IOS),
        agent("Chrome on a phone, which is Safari", Site, CHROME_IOS),
        agent("Firefox without Sec-Fetch-Mode", Garbage, FIREFOX),
        agent("Chrome without Sec-Fetch-Mode", Garbage, CHROME),
        agent("Edge without Sec-Fetch-Mode", Garbage, EDGE),
        agent("headless Chrome without Sec-Fetch-Mode", Garbage, HEADLESS),
        // There: let in.
        agent_with("Chrome that says it came over plain HTTP", Garbage, CHROME, &["X-Forwarded-Proto: http"]),
        agent_with(
            "Chrome that says so twice",
            Garbage,
            CHROME,
            &["X-Forwarded-Proto: http", "X-Forwarded-Proto: https"],
        ),
        // There: let in, as the header was looked for only.
        agent_with("Chrome with a Sec-Fetch-Mode that is none", Garbage, CHROME, &["Sec-Fetch-Mode: zzz"]),
        agent_with("Chrome with an empty Sec-Fetch-Mode", Garbage, CHROME, &["Sec-Fetch-Mode:"]),
        agent_with("Chrome with two Sec-Fetch-Mode", Garbage, CHROME, &["Sec-Fetch-Mode: zzz", navigates]),
    ]
}

fn robots() -> Vec<Row> {
    vec![
        agent("GPTBot", Garbage, GPTBOT),
        agent("GPTBot in lower case", Garbage, "gptbot"),
        agent("ClaudeBot", Garbage, CLAUDEBOT),
        agent_with("ClaudeBot with Sec-Fetch-Mode", Garbage, CLAUDEBOT, &["Sec-Fetch-Mode: navigate"]),
        agent("PerplexityBot", Garbage, "Mozilla/5.0 (compatible; PerplexityBot/1.0)"),
        agent("Perplexity, not welcome", Garbage, "Perplexity/1.0"),
        agent("facebookexternalhit", Garbage, "facebookexternalhit/1.1"),
        agent("CCBot", Garbage, "CCBot/2.0 (https://commoncrawl.org/faq/)"),
        agent(
            "Bytespider",
            Garbage,
            "Mozilla/5.0 (Linux; Android 5.0) (compatible; Bytespider; spider-feedback@bytedance.com)",
        ),
        agent("Meltwater's YaK", Garbage, "Mozilla/5.0 (compatible; YaK/1.0; http://linkfluence.com/)"),
        agent("Googlebot", Site, GOOGLEBOT),
        agent("bingbot", Site, BINGBOT),
        // There, the next five: garbage.
        agent("Googlebot with a browser inside", Site, GOOGLEBOT_EVERGREEN),
        agent("Baiduspider", Site, BAIDU),
        agent("KAYAK's app", Site, KAYAK),
        agent("VSCode", Site, VSCODE),
        agent("Xcode", Site, XCODE),
        agent("curl", Site, "curl/8.16.0"),
        agent("wget", Site, "Wget/1.25.0"),
        agent("python-requests", Site, "python-requests/2.32.5"),
        agent("Go's client", Site, "Go-http-client/1.1"),
        get("an empty User-Agent", Site, &["User-Agent:"]),
        get("no User-Agent", Site, &[]),
        agent("indieauth", Site, "indieauth-client/1.0 IndieAuth"),
        // There: let in.
        agent("GPTBot that adds a trusted word", Garbage, "GPTBot/1.2 indieauth"),
        get("a trusted agent, and then GPTBot", Garbage, &["User-Agent: indieauth", "User-Agent: GPTBot"]),
        // There: let in, as the last one counted.
        get("GPTBot, and then Safari", Garbage, &["User-Agent: GPTBot", &format!("User-Agent: {SAFARI}")]),
        get("Safari, and then GPTBot", Garbage, &[&format!("User-Agent: {SAFARI}"), "User-Agent: GPTBot"]),
        get(
            "Chrome, and then a trusted agent",
            Garbage,
            &[&format!("User-Agent: {CHROME}"), "User-Agent: indieauth"],
        ),
        agent_with("a signed agent", Garbage, SAFARI, &["Signature-Agent: \"https://chatgpt.com\""]),
        agent_with("an empty Signature-Agent", Site, SAFARI, &["Signature-Agent:"]),
        agent_with(
            "the second Signature-Agent",
            Garbage,
            SAFARI,
            &["Signature-Agent:", "Signature-Agent: x"],
        ),
    ]
}

fn paths() -> Vec<Row> {
    vec![
        path("ClaudeBot reads robots.txt", Site, "GET /robots.txt", CLAUDEBOT),
        path("and with a query", Site, "GET /robots.txt?x=y", CLAUDEBOT),
        path("percent-encoded", Site, "GET /robots%2etxt", CLAUDEBOT),
        // There: let in.
        path("robots.txt of another folder", Garbage, "GET /secret/robots.txt", CLAUDEBOT),
        path("a file that only starts so", Garbage, "GET /robots.txt.bak", CLAUDEBOT),
        path("robots.txt in the query", Garbage, "GET /x?y=/robots.txt", CLAUDEBOT),
        path("a trusted folder", Site, "GET /.well-known/acme-challenge/abc", CLAUDEBOT),
        path("out of it again", Garbage, "GET /.well-known/acme-challenge/../../secret", CLAUDEBOT),
        path(
            "out of it again, encoded",
            Garbage,
            "GET /.well-known/acme-challenge/%2e%2e%2fsecret",
            CLAUDEBOT,
        ),
        path("a poisoned link", Garbage, "GET /a1b2c3d4e5f6/1/harbour/", SAFARI),
        path("in upper case", Garbage, "GET /A1B2C3D4E5F6/1/harbour/", SAFARI),
        path("in a deeper folder", Garbage, "GET /x/a1b2c3d4e5f6", SAFARI),
        // There: let in.
        path("percent-encoded", Garbage, "GET /%61%31b2c3d4e5f6/1/harbour/", SAFARI),
        // Our links have no query, so whoever comes with one came from elsewhere.
        path("in the query", Site, "GET /?a1b2c3d4e5f6", SAFARI),
        path("a browser that follows a poisoned link", Garbage, "GET /a1b2c3d4e5f6/1/harbour/", CHROME_IOS),
        path("a challenged path", Served::Challenge, "GET /login", SAFARI),
        path("a folder of it", Served::Challenge, "GET /account/orders?page=2", SAFARI),
        path("in disguise", Served::Challenge, "GET /x/..//account%2forders", SAFARI),
        path("posted to", Served::Challenge, "POST /login", SAFARI),
        path("GPTBot gets no challenge", Garbage, "GET /login", GPTBOT),
        path("%00 in the path", Site, "GET /%00", SAFARI),
        path("%ff in the path", Site, "GET /%ff", SAFARI),
        path("the whole URL", Site, "GET http://testbed/x", SAFARI),
        path("the whole URL, of robots.txt", Site, "GET http://testbed/robots.txt", CLAUDEBOT),
        path("POST", Site, "POST /x", SAFARI),
        path("an unknown method", Site, "FOO /x", SAFARI),
        path("GPTBot with an unknown method", Garbage, "FOO /x", GPTBOT),
    ]
}

fn headers() -> Vec<Row> {
    let long = |length: usize| format!("X-Long: {}", "x".repeat(length));
    vec![
        // There, in the agent's answer: what the client wrote.
        agent_with("a decision of the client's own", Garbage, GPTBOT, &["Iocaine-Decision: default"]),
        agent_with("an empty one", Garbage, GPTBOT, &["Iocaine-Decision:"]),
        agent_with("a list", Garbage, GPTBOT, &["Iocaine-Decision: default, garbage"]),
        agent_with("two", Garbage, GPTBOT, &["Iocaine-Decision: default", "Iocaine-Decision: default"]),
        agent_with("a browser that decides against itself", Site, SAFARI, &["Iocaine-Decision: garbage"]),
        // There: let in, if 10.0.0.0/8 was trusted.
        agent_with("an address of the client's own", Garbage, GPTBOT, &["X-Forwarded-For: 10.1.2.3"]),
        agent_with("a list of them", Garbage, GPTBOT, &["X-Forwarded-For: 10.1.2.3, 10.1.2.4"]),
        agent_with("one with a port", Garbage, GPTBOT, &["X-Forwarded-For: 10.1.2.3:80"]),
        agent_with("cookies", Site, SAFARI, &["Cookie: session=1; theme=dark"]),
        agent_with(
            "cookies that are junk",
            Site,
            SAFARI,
            &["Cookie: ;;=;a;=b; decision-pass; decision-pass=..;"],
        ),
        agent_with("cookies in UTF-8", Site, SAFARI, &["Cookie: name=J\u{fc}rgen"]),
        agent_with("a tab", Site, SAFARI, &["X-Tab: a\tb"]),
        get("90 headers", Site, &(0..90).map(|_| "X-One: 1").collect::<Vec<_>>()),
        get("90 headers, and GPTBot", Garbage, &[&["X-One: 1"; 89][..], &["User-Agent: GPTBot"]].concat()),
        get("a header of 8000 bytes", Site, &[&long(8000)]),
        get("a header of 14000 bytes", Site, &[&long(14_000)]),
        get("GPTBot behind a header of 14000 bytes", Garbage, &[&long(14_000), "User-Agent: GPTBot"]),
        get(
            "GPTBot behind 8000 cookies",
            Garbage,
            &[&format!("Cookie: {}", "a;".repeat(6000)), "User-Agent: GPTBot"],
        ),
        row("a path of 8000 bytes", Site, &format!("GET /{}", "x".repeat(8000)), &[]),
        row(
            "path and query of 7000 bytes",
            Site,
            &format!("GET /{}?{}", "x".repeat(7000), "y".repeat(7000)),
            &[],
        ),
    ]
}

/// Bytes that are no text.
fn bytes() -> Vec<Row> {
    let with = |name, served, bytes: &[u8]| {
        let mut row = agent(name, served, if served == Garbage { GPTBOT } else { SAFARI });
        row.headers.push([b"X-Bytes: a", bytes, b"z"].concat());
        row
    };
    vec![
        with("UTF-8 in a header", Site, "\u{2603}".as_bytes()),
        with("Latin-1 in a header", Site, b"\xe9\xff"),
        // There, the next six: 503, and the connection to the agent was lost with all that waited on it.
        with("0x01 in a header", Site, b"\x01"),
        with("0x7f in a header", Site, b"\x7f"),
        with("GPTBot with 0x01 in a header", Garbage, b"\x01"),
        with("GPTBot with 0x7f in a header", Garbage, b"\x7f"),
        path("OPTIONS *", Site, "OPTIONS *", SAFARI),
        path("OPTIONS * of GPTBot", Garbage, "OPTIONS *", GPTBOT),
        path("CONNECT of GPTBot", Refused, "CONNECT testbed:443", GPTBOT),
        Row {
            name: "0x01 inside of GPTBot's name",
            line: "GET /".into(),
            headers: vec![b"User-Agent: \x01GPTBot\x7f/1.0".to_vec()],
            served: Garbage,
        },
    ]
}

/// What HAProxy refuses itself, without asking.
fn refused() -> Vec<Row> {
    vec![
        row("a header of 20000 bytes", Refused, "GET /", &[&format!("X-Long: {}", "x".repeat(20_000))]),
        row("200 headers", Refused, "GET /", &["X-One: 1"; 200]),
        row("a path that is not ASCII", Refused, "GET /\u{e9}", &[]),
    ]
}

impl Row {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} HTTP/1.1\r\nHost: testbed\r\nConnection: close\r\n", self.line).into_bytes();
        if self.line.starts_with("POST") {
            bytes.extend(b"Content-Length: 0\r\n");
        }
        for header in &self.headers {
            bytes.extend([&header[..], b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes
    }

    async fn check(&self, bed: &Bed) -> Outcome<Option<String>> {
        let mut connection = Connection::open(bed.haproxy.http(), None, SOON).await?;
        let response = connection.send_bytes(&self.to_bytes(), SOON).await;
        let response = response.map_err(|error| format!("{bed}: {}: {error}", self.name))?;
        let served = Served::of(&response);
        Ok((served != self.served).then(|| format!("{bed}: {}: {served:?} for {:?}", self.name, self.served)))
    }
}

async fn replay(bed: &Bed, rows: &[Row]) -> Outcome {
    let mut wrong = Vec::new();
    for row in rows {
        wrong.extend(row.check(bed).await?);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Over TLS, on every HAProxy: `mode spop`, and `mode tcp` up to 3.0.
#[tokio::test]
async fn each_request_is_served_what_a_correct_filter_gives() -> Outcome {
    let rows: Vec<_> = [browsers(), robots(), paths(), headers(), bytes()].into_iter().flatten().collect();
    assert!(rows.len() > 80, "{}", rows.len());
    for haproxy in all_haproxies()? {
        let bed = Bed::start(&haproxy, Setup { tls: true, ..SETUP }).await?;
        replay(&bed, &rows).await?;
        replay(&bed, &refused()).await?;
        // Each was asked about once, and decided.
        assert_eq!(bed.agent.count("decision_errors_total", "").await?, 0);
        assert_eq!(bed.agent.count("decision_total", "").await?, rows.len() as u64);
    }
    Ok(())
}

/// The message of the published guide, without `src` and `ssl`.
#[tokio::test]
async fn the_seeds_message_works_unchanged() -> Outcome {
    let rows: Vec<_> = [browsers(), robots(), paths(), headers(), bytes()].into_iter().flatten().collect();
    for haproxy in all_haproxies()? {
        replay(&Bed::start(&haproxy, Setup { seed_message: true, ..SETUP }).await?, &rows).await?;
    }
    Ok(())
}

/// Browsers send no Sec-Fetch-Mode over plain HTTP, but to this machine.
#[tokio::test]
async fn over_plain_http_browsers_need_no_sec_fetch_mode() -> Outcome {
    let rows =
        [agent("Chrome", Site, CHROME), agent("Firefox", Site, FIREFOX), agent("GPTBot", Garbage, GPTBOT)];
    for haproxy in all_haproxies()? {
        replay(&Bed::start(&haproxy, SETUP).await?, &rows).await?;
    }
    Ok(())
}

/// As HAProxy knows the client's address, whatever the client says of it.
#[tokio::test]
async fn a_trusted_network_is_that_of_the_connection() -> Outcome {
    for haproxy in all_haproxies()? {
        let bed = Bed::start(&haproxy, Setup { tls: true, ..SETUP }).await?;
        let request = testbed::http::Request::new("GET", "/").header("User-Agent", GPTBOT);
        for (source, served) in [([127, 9, 0, 1], Site), ([127, 0, 0, 1], Garbage)] {
            assert_eq!(bed.send(&request.clone().source(source)).await?, served, "{bed}");
        }
    }
    Ok(())
}
