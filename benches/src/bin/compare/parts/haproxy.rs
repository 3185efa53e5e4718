//! Requests through a real HAProxy, with and without an agent.

use benches::cli::Error;
use benches::http::{self, ERROR_HEADER, Seen};
use testbed::{Config, Haproxy, HaproxyProcess, Spoe, haproxies};
use tokio::runtime::Runtime;

use super::{Options, Part, Plot, Report};
use crate::agent::{Agent, OURS, README, Spec};
use crate::figures::{Figures, PartFigures, median};
use crate::plot::{Axis, Lines, Role, Series, lines};
use crate::table::{Table, cell, thousands, three_digits};

pub(crate) const PART: Part = Part {
    name: "haproxy",
    about: "requests through HAProxy 3.2 and 3.4 without filter, with our agent, and with a sequential one",
    by_default: true,
    least_rounds: 5,
    measure,
    report,
};

const CLIENTS: [usize; 5] = [1, 16, 50, 64, 200];

/// The agents, and how many milliseconds their handlers wait.
const SETUPS: [Setup; 5] =
    [NO_FILTER, (Some(README), "0"), (Some(OURS), "0"), (Some(README), "10"), (Some(OURS), "10")];

const NO_FILTER: Setup = (None, "0");

type Setup = (Option<Spec>, &'static str);

/// How long HAProxy, an agent and a check may take to be ready.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// HAProxy answers by itself: what is behind it is not in the results, and nothing of a request is logged.
const HAPROXY_CFG: &str = "\
global
    maxconn 4096

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

frontend web
    bind {http}
";
const FILTER: &str = "
    filter spoe engine iprep config {spoe}
    http-after-response set-header x-ip-score %[var(sess.iprep.ip_score)]
    http-after-response set-header {error header} %[var(txn.iprep.error)] if { var(txn.iprep.error) -m found }
";
const ANSWER: &str = "
    http-request return status 200 content-type text/plain string ok
";
const AGENTS: &str = "
backend agents
    mode {mode}
    option spop-check
    timeout connect 5s
    timeout server 30s
    timeout check 5s
    server agent1 {agent} check
";

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    let all = haproxies()?.into_iter();
    let all: Vec<_> = all.filter(|haproxy| haproxy.version.speaks_mode_spop()).collect();
    if all.is_empty() {
        return Err("no HAProxy of 3.1 or later to measure with: see HAPROXY_BIN and HAPROXY_VERSIONS".into());
    }
    let runtime = Runtime::new()?;
    for _ in options.rounds(PART.name) {
        for haproxy in &all {
            for (spec, delay) in &SETUPS {
                let agent = spec
                    .as_ref()
                    .map(|spec| Agent::start(&options.programs, spec, &["--handler-delay-ms", delay]));
                let agent = agent.transpose()?;
                let process = runtime.block_on(start(haproxy, agent.as_ref()))?;
                for clients in CLIENTS {
                    let (warmup, time) = (options.share(0.25), options.share(0.5));
                    let seen = http::load(process.http(), clients, warmup, time)?;
                    let version = &haproxy.version.to_string();
                    add(figures, &Cell { version, setup: (*spec, delay), clients }, &seen);
                }
            }
        }
    }
    Ok(())
}

async fn start(haproxy: &Haproxy, agent: Option<&Agent>) -> Result<HaproxyProcess, Error> {
    let Some(agent) = agent else {
        let config = Config::new(format!("{HAPROXY_CFG}{ANSWER}"), "");
        return Ok(HaproxyProcess::start(haproxy, &config).await?);
    };
    // Its own event, as one of the session would be asked once per client.
    let message = ["args ip=src", "event on-frontend-http-request"];
    let spoe = Spoe::new("iprep").processing("1s").message("check-client-ip", &message);
    let filter = FILTER.replace("{error header}", ERROR_HEADER);
    let text = format!("{HAPROXY_CFG}{filter}{ANSWER}{AGENTS}");
    let config = Config::new(text, spoe.to_conf().replace("    log global\n", "")).agent(&agent.address);
    let process = HaproxyProcess::start(haproxy, &config).await?;
    process.wait_server_status("agents", "agent1", "UP", DEADLINE).await?;
    Ok(process)
}

fn add(figures: &mut Figures, cell: &Cell<'_>, seen: &Seen) {
    let mut add = |quantity, value| figures.add(PART.name, &cell.case(), cell.who(), quantity, value);
    add("requests_per_second", seen.per_second());
    add("p50_ms", seen.millis(0.5));
    add("p99_ms", seen.millis(0.99));
    add("spoe_errors", seen.errors.values().sum::<u64>() as f64);
    add("client_us_per_request", seen.cpu.as_secs_f64() * 1e6 / seen.latencies.len() as f64);
    add("client_cores", seen.cpu.as_secs_f64() / seen.time.as_secs_f64());
}

/// One cell of the tables.
#[derive(Clone, Copy)]
struct Cell<'a> {
    version: &'a str,
    setup: Setup,
    clients: usize,
}

impl Cell<'_> {
    fn case(&self) -> String {
        format!("{} {} ms {} clients", self.version, self.setup.1, self.clients)
    }

    fn who(&self) -> &'static str {
        self.setup.0.map_or("no-filter", |spec| spec.key)
    }

    fn rounds<'f>(&self, figures: PartFigures<'f>, quantity: &str) -> &'f [f64] {
        figures.rounds(&self.case(), self.who(), quantity)
    }

    fn median(&self, figures: PartFigures<'_>, quantity: &str) -> Option<f64> {
        figures.median(&self.case(), self.who(), quantity)
    }

    /// What it has more than HAProxy without a filter.
    fn added(&self, figures: PartFigures<'_>, quantity: &str) -> Option<f64> {
        let without = Cell { setup: NO_FILTER, ..*self };
        let rounds = self.rounds(figures, quantity).iter().zip(without.rounds(figures, quantity));
        median(rounds.map(|(with, without)| with - without).collect())
    }
}

fn title((spec, delay): Setup) -> String {
    match spec {
        None => "no filter".into(),
        Some(spec) if spec.key == OURS.key => format!("spop-tokio, {delay} ms"),
        Some(_) => format!("sequential, {delay} ms"),
    }
}

/// The versions that were measured, oldest first.
fn versions<'a>(figures: PartFigures<'a>) -> Vec<&'a str> {
    let mut versions: Vec<_> = figures.cases().iter().filter_map(|case| case.split(' ').next()).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// What our agent with a handler of 10 ms reaches with so many clients, at worst of all versions: the median latency in
/// milliseconds, and the SPOE errors of all rounds.
pub(crate) fn worst(figures: &Figures, clients: usize) -> Option<(f64, f64)> {
    let figures = figures.part(PART.name);
    let of = |version| {
        let cell = Cell { version, setup: (Some(OURS), "10"), clients };
        Some((cell.median(figures, "p50_ms")?, cell.rounds(figures, "spoe_errors").iter().sum()))
    };
    let all = versions(figures).into_iter().map(of).collect::<Option<Vec<(f64, f64)>>>()?;
    all.into_iter().reduce(|worst, next| (worst.0.max(next.0), worst.1 + next.1))
}

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let pair = |p50, p99| format!("{} / {}", cell(p50, three_digits), cell(p99, three_digits));
    let markdown = [
        table(figures, &SETUPS, "requests/s", &|at| {
            cell(at.median(figures, "requests_per_second"), thousands)
        }),
        table(figures, &SETUPS, "latency in ms, p50 / p99", &|at| {
            pair(at.median(figures, "p50_ms"), at.median(figures, "p99_ms"))
        }),
        table(figures, &SETUPS[1..], "added to HAProxy without filter, ms, p50 / p99", &|at| {
            pair(at.added(figures, "p50_ms"), at.added(figures, "p99_ms"))
        }),
        errors(figures),
        client(figures),
    ];
    let plots =
        versions(figures).last().map(|version| [throughput(figures, version), waiting(figures, version)]);
    Report { markdown: markdown.join("\n"), plots: plots.into_iter().flatten().collect() }
}

/// Setups down, clients across.
fn table(
    figures: PartFigures<'_>,
    setups: &[Setup],
    what: &str,
    figure: &dyn Fn(&Cell<'_>) -> String,
) -> String {
    let head = CLIENTS.map(|clients| format!("{clients} client{}", if clients == 1 { "" } else { "s" }));
    let mut table = Table::new([what.to_owned()].into_iter().chain(head));
    for version in versions(figures) {
        for &setup in setups {
            let cells = CLIENTS.map(|clients| figure(&Cell { version, setup, clients }));
            table.row([format!("{version}, {}", title(setup))].into_iter().chain(cells));
        }
    }
    table.into_text()
}

fn all_cells<'a>(figures: PartFigures<'a>) -> impl Iterator<Item = Cell<'a>> {
    versions(figures).into_iter().flat_map(|version| {
        SETUPS.into_iter().flat_map(move |setup| CLIENTS.map(|clients| Cell { version, setup, clients }))
    })
}

fn errors(figures: PartFigures<'_>) -> String {
    let of = |cell: Cell<'_>| {
        let errors: f64 = cell.rounds(figures, "spoe_errors").iter().sum();
        let text = format!("{}, {}, {} clients: {errors}", cell.version, title(cell.setup), cell.clients);
        (errors > 0.0).then_some(text)
    };
    let errors: Vec<_> = all_cells(figures).filter_map(of).collect();
    if errors.is_empty() {
        "SPOE errors: none in any round.\n".into()
    } else {
        format!("SPOE errors, all rounds together: {}; else none.\n", errors.join("; "))
    }
}

/// So that a reader can see whether the client was the bottleneck.
fn client(figures: PartFigures<'_>) -> String {
    let most =
        |quantity| all_cells(figures).filter_map(|cell| cell.median(figures, quantity)).fold(0.0, f64::max);
    format!(
        "The client takes at most {} us of CPU time for a request, and at most {} of a core.\n",
        three_digits(most("client_us_per_request")),
        three_digits(most("client_cores"))
    )
}

fn throughput(figures: PartFigures<'_>, version: &str) -> Plot {
    let title = format!("HAProxy {version}: requests per second, handlers ready at once");
    let setups = SETUPS.into_iter().filter(|setup| setup.1 == "0");
    plot(figures, version, "haproxy-throughput", title, setups, "requests_per_second", "requests/s")
}

fn waiting(figures: PartFigures<'_>, version: &str) -> Plot {
    let title = format!("HAProxy {version}: median latency in ms, handlers that wait for 10 ms");
    let setups = SETUPS.into_iter().filter(|setup| setup.1 == "10");
    plot(figures, version, "haproxy-waiting", title, setups, "p50_ms", "ms")
}

fn plot(
    figures: PartFigures<'_>,
    version: &str,
    name: &str,
    title_of_all: String,
    setups: impl Iterator<Item = Setup>,
    quantity: &str,
    unit: &str,
) -> Plot {
    let series = setups.map(|setup| {
        let point =
            |clients| Some((clients as f64, Cell { version, setup, clients }.median(figures, quantity)?));
        let role = match setup.0 {
            None => Role::Base,
            Some(spec) if spec.key == OURS.key => Role::Ours,
            Some(_) => Role::Other,
        };
        Series { title: title(setup), points: CLIENTS.into_iter().filter_map(point).collect(), role }
    });
    let svg = lines(&Lines {
        title: &title_of_all,
        x: Axis { title: "clients", figure: thousands },
        y: Axis { title: unit, figure: thousands },
        evenly: true,
        series: series.collect(),
    });
    Plot { name: name.into(), title: title_of_all, svg }
}
