//! The challenge's cookie, without a browser.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use decision::challenge::{COOKIE, Challenges, solve};
use tempfile::NamedTempFile;
use testbed::http::Request;

use crate::bed::{Bed, Outcome, Served, Setup, all_haproxies};

/// Easy, as a test is no robot.
pub(crate) const BITS: u8 = 10;
pub(crate) const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";

pub(crate) fn secret_file() -> Outcome<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), SECRET)?;
    Ok(file)
}

/// The challenge that a page has.
fn challenge_of(page: &str) -> Option<&str> {
    page.split_once("challenge = '")?.1.split_once('\'').map(|(challenge, _)| challenge)
}

#[tokio::test]
async fn what_the_page_asks_for_is_what_lets_in() -> Outcome {
    let secret = secret_file()?;
    let path = secret.path().to_str().ok_or("a path that is no text")?;
    let options = ["--secret-file", path, "--challenge-bits", &BITS.to_string()];
    let rules = [("prefix = []", "prefix = [\"/\"]")];
    for haproxy in all_haproxies()? {
        let setup = Setup { options: &options, rules: &rules, ..Setup::default() };
        let bed = Bed::start(&haproxy, setup).await?;
        let get = Request::new("GET", "/").source([127, 0, 0, 1]);
        let page = get.send(bed.haproxy.http()).await?;
        assert_eq!(Served::of(&page), Served::Challenge, "{bed}");
        let page = page.text();
        let challenge = challenge_of(&page).ok_or("no challenge in the page")?;
        let cookie = format!("{COOKIE}={challenge}.{}", solve(challenge, BITS));
        for (what, request, served) in [
            ("passed", get.clone().header("Cookie", &cookie), Served::Site),
            ("among others", get.clone().header("Cookie", &format!("a=1; {cookie}; b=2")), Served::Site),
            (
                "in a second header",
                get.clone().header("Cookie", "a=1").header("Cookie", &cookie),
                Served::Site,
            ),
            ("for a neighbour", get.clone().source([127, 0, 0, 77]).header("Cookie", &cookie), Served::Site),
            ("elsewhere", get.clone().source([127, 0, 1, 1]).header("Cookie", &cookie), Served::Challenge),
            (
                "without work",
                get.clone().header("Cookie", &format!("{COOKIE}={challenge}.x")),
                Served::Challenge,
            ),
            ("another's", get.clone().header("Cookie", &format!("x{cookie}")), Served::Challenge),
        ] {
            assert_eq!(bed.send(&request).await?, served, "{bed}: {what}");
        }
        // No cookie helps those whom another rule turns away.
        let robot = get.clone().header("User-Agent", "GPTBot").header("Cookie", &cookie);
        assert_eq!(bed.send(&robot).await?, Served::Garbage, "{bed}");
    }
    Ok(())
}

/// The same key in the file, the same cookies: an agent that was started again, or a second one.
#[tokio::test]
async fn a_cookie_outlives_the_agent_with_a_secret_file() -> Outcome {
    let secret = secret_file()?;
    let path = secret.path().to_str().ok_or("a path that is no text")?;
    let options = ["--secret-file", path, "--challenge-bits", &BITS.to_string()];
    let rules = [("prefix = []", "prefix = [\"/\"]")];
    let issuer = Challenges::new(SECRET, BITS, Duration::from_secs(24 * 3600));
    let challenge = issuer.issue(Some(IpAddr::from([127, 0, 0, 1])), SystemTime::now());
    let cookie = format!("{COOKIE}={challenge}.{}", solve(&challenge, BITS));
    let bed =
        Bed::start(&crate::bed::haproxy()?, Setup { options: &options, rules: &rules, ..Setup::default() })
            .await?;
    let request = Request::new("GET", "/").source([127, 0, 0, 1]).header("Cookie", &cookie);
    assert_eq!(bed.send(&request).await?, Served::Site);
    Ok(())
}
