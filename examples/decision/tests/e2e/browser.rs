//! The challenge in a real browser.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use decision::challenge::{COOKIE, Challenges, solve};
use serde_json::json;

use crate::bed::{Bed, Outcome, Setup, haproxy};
use crate::challenge::{BITS, SECRET, secret_file};
use crate::chromium::Chromium;

const SITE: &str = "hello from the backend";
const EVERYBODY: &[(&str, &str)] = &[("prefix = []", "prefix = [\"/\"]")];
const HOUR: Duration = Duration::from_secs(3600);

/// Everybody is challenged.
async fn bed() -> Outcome<Bed> {
    let secret = secret_file()?;
    let path = secret.path().to_str().ok_or("a path that is no text")?;
    let options = ["--secret-file", path, "--challenge-bits", &BITS.to_string()];
    Bed::start(&haproxy()?, Setup { options: &options, rules: EVERYBODY, ..Setup::default() }).await
}

fn url(bed: &Bed, path: &str) -> String {
    format!("http://{}{path}", bed.haproxy.http())
}

#[tokio::test]
async fn a_browser_passes_by_itself_and_is_not_asked_again() -> Outcome {
    let (bed, mut browser) = (bed().await?, Chromium::start().await?);
    browser.open(&url(&bed, "/shop?page=2"), SITE).await?;
    assert_eq!(browser.pages(), [403, 200]);
    let origin = url(&bed, "/");
    let elsewhere: Vec<_> = browser.urls().into_iter().filter(|url| !url.starts_with(&origin)).collect();
    assert!(elsewhere.is_empty(), "requests to others: {elsewhere:?}");
    browser.open(&url(&bed, "/other"), SITE).await?;
    assert_eq!(browser.pages(), [200]);
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_is_not_good_is_challenged_again() -> Outcome {
    let (bed, mut browser) = (bed().await?, Chromium::start().await?);
    let now = SystemTime::now();
    let issuer = |secret| Challenges::new(secret, BITS, HOUR);
    let here = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
    let there = Some(IpAddr::from([127, 0, 1, 1]));
    let cookie = |challenge: String| format!("{challenge}.{}", solve(&challenge, BITS));
    let good = cookie(issuer(SECRET).issue(here, now));
    for (what, cookie, pages) in [
        ("good", &*good, &[200][..]),
        ("forged", &cookie(issuer(b"a guess").issue(here, now)), &[403, 200]),
        ("expired", &cookie(issuer(SECRET).issue(here, now - 2 * HOUR)), &[403, 200]),
        ("foreign", &cookie(issuer(SECRET).issue(there, now)), &[403, 200]),
        ("without work", &issuer(SECRET).issue(here, now), &[403, 200]),
    ] {
        browser.call("Network.clearBrowserCookies", json!({})).await?;
        let cookie = json!({ "name": COOKIE, "value": cookie, "url": url(&bed, "/") });
        browser.call("Network.setCookie", cookie).await?;
        // A page of its own keeps the browser from counting these as one client's tries.
        browser.call("Runtime.evaluate", json!({ "expression": "sessionStorage.clear()" })).await?;
        browser.open(&url(&bed, "/"), SITE).await.map_err(|error| format!("{what}: {error}"))?;
        assert_eq!(browser.pages(), pages, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn without_javascript_the_page_says_what_to_do() -> Outcome {
    let (bed, mut browser) = (bed().await?, Chromium::start().await?);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await?;
    browser.open(&url(&bed, "/"), "it needs JavaScript").await?;
    assert_eq!(browser.pages(), [403]);
    Ok(())
}

#[tokio::test]
async fn without_cookies_the_page_says_what_to_do() -> Outcome {
    let (bed, mut browser) = (bed().await?, Chromium::start().await?);
    browser.call("Emulation.setDocumentCookieDisabled", json!({ "disabled": true })).await?;
    browser.open(&url(&bed, "/"), "allow cookies").await?;
    assert_eq!(browser.pages(), [403]);
    Ok(())
}

#[tokio::test]
async fn a_client_whose_cookies_do_no_good_is_told_instead_of_kept_busy() -> Outcome {
    let (bed, mut browser) = (bed().await?, Chromium::start().await?);
    // The page believes that it has set the cookie.
    let script =
        "Object.defineProperty(document, 'cookie', { get() { return this.kept }, set(v) { this.kept = v } })";
    browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await?;
    browser.open(&url(&bed, "/"), "asked again and again").await?;
    assert_eq!(browser.pages(), [403; 4]);
    Ok(())
}
