//! Rules that change while the agent runs.

use std::fs;

use testbed::Signal;
use testbed::http::Request;

use crate::bed::{Bed, Outcome, SOON, Served, Setup, haproxy};

async fn ask(bed: &Bed) -> Outcome<Served> {
    bed.send(&Request::new("GET", "/").header("User-Agent", "SomeBot/1.0")).await
}

#[tokio::test]
async fn rules_are_read_again_when_the_file_changes_or_at_sighup() -> Outcome {
    let bed = Bed::start(&haproxy()?, Setup::default()).await?;
    let (logs, file) = (bed.agent.process.logs(), bed.rules.path());
    assert_eq!(ask(&bed).await?, Served::Site);
    let good = fs::read_to_string(file)?.replace("\"Perplexity\"", "\"SomeBot\"");
    fs::write(file, &good)?;
    let mark = logs.mark();
    logs.wait_for("the new rules", SOON, |line| line.contains("rules read again")).await?;
    assert_eq!(ask(&bed).await?, Served::Garbage);

    let bad = good.replace("agents = [\"SomeBot\"]", "agents = [\"SomeBot\", 7]");
    let line = 1 + bad.lines().position(|line| line.contains(", 7]")).ok_or("no such line")?;
    fs::write(file, bad)?;
    let refused = |line: &str| line.contains("the rules stay as they are");
    let mark = logs.wait_for_since(mark, "the refusal", SOON, refused).await.map(|_| logs.mark())?;
    logs.wait_for("the line", SOON, |text| text.contains(&format!("at line {line}"))).await?;
    assert_eq!(ask(&bed).await?, Served::Garbage, "the old rules stay");

    // Whether the file has changed or not.
    fs::write(file, good.replace("\"SomeBot\"", "\"OtherBot\""))?;
    bed.agent.process.signal(Signal::HUP)?;
    logs.wait_for_since(mark, "the next rules", SOON, |line| line.contains("rules read again")).await?;
    assert_eq!(ask(&bed).await?, Served::Site);
    assert!(bed.agent.count("decision_reloads_total", "failed").await? >= 1);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() -> Outcome {
    let rules = [("\"Perplexity\"", "\"SomeBot\"")];
    let bed = Bed::start(&haproxy()?, Setup { rules: &rules, ..Setup::default() }).await?;
    fs::remove_file(bed.rules.path())?;
    bed.agent.process.signal(Signal::HUP)?;
    bed.agent.process.wait_for_log("the refusal", SOON, |line| line.contains("the rules stay")).await?;
    assert_eq!(ask(&bed).await?, Served::Garbage);
    Ok(())
}
