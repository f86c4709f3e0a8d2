//! The log of `serve` on standard error: a line for each event, as text or JSON.
//!
//! A terminal or a pipe that nobody reads must not hold up the registry: lines wait in a queue of bounded length for a
//! thread of their own, and what finds no room is lost, and counted by who told it.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use serde::Serialize;

use crate::{
    base::{clock::Timestamp, failure::Failure, limits, text::escaped},
    cli::args::LogForm,
    registry::{Event, Visit},
};

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Level {
    /// Faults.
    Quiet,
    /// And requests that were refused, start and stop.
    Normal,
    /// And every request.
    Verbose,
}

/// The queue and the thread behind it.
#[derive(Debug)]
pub(in crate::cli) struct Journal {
    form: LogForm,
    level: Level,
    lines: SyncSender<String>,
    ended: Receiver<()>,
}

/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

impl Journal {
    pub(super) fn start(form: LogForm, level: Level) -> Self {
        let (lines, waiting) = sync_channel::<String>(limits::LOG_LINES);
        let (end, ended) = sync_channel(1);
        std::thread::spawn(move || {
            for line in waiting {
                let _broken_pipe = writeln!(std::io::stderr().lock(), "{line}");
            }
            let _nobody_waits = end.send(());
        });
        Self { form, level, lines, ended }
    }

    /// What hears the registry.
    pub(in crate::cli) fn hear(&self) -> impl Fn(&Event<'_>) -> bool + Send + Sync + 'static {
        let (form, level, lines) = (self.form, self.level, self.lines.clone());
        move |event| match line(event, form, level) {
            Some(line) => lines.try_send(line).is_ok(),
            None => true,
        }
    }

    /// The server listens.
    pub(in crate::cli) fn started(&self, address: SocketAddr, access: &str) {
        let (address, access) = (Some(address.to_string()), Some(access.to_owned()));
        self.own(&Entry { address, access, ..Entry::new("started") });
    }

    /// The server has ended; the last lines are written.
    pub(in crate::cli) fn stopped(self) {
        self.own(&Entry::new("stopped"));
        drop(self.lines);
        let _in_time = self.ended.recv_timeout(PATIENCE);
    }

    fn own(&self, entry: &Entry<'_>) {
        if self.level >= Level::Normal {
            let _no_room = self.lines.try_send(entry.line(self.form));
        }
    }
}

/// The line of an event, if it is to be told.
fn line(event: &Event<'_>, form: LogForm, level: Level) -> Option<String> {
    let entry = match event {
        Event::Fault(failure) => Entry::fault(failure),
        Event::Request(visit)
            if level == Level::Verbose || (level == Level::Normal && visit.is_refused()) =>
        {
            Entry::request(visit)
        }
        Event::Request(_) => return None,
    };
    Some(entry.line(form))
}

/// What a line says, in its order. What somebody else chose is escaped and cut (threats H05).
#[derive(Debug, Default, Serialize)]
struct Entry<'a> {
    schema: u32,
    time: Option<Timestamp>,
    event: &'a str,
    #[serde(flatten)]
    request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    status: Option<u16>,
    code: Option<&'a str>,
    method: String,
    route: &'a str,
    repository: Option<String>,
    reference: Option<String>,
    path: Option<String>,
    remote: Option<SocketAddr>,
    account: Option<String>,
    received: u64,
    sent: u64,
    duration_ms: f64,
    agent: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(event: &'a str) -> Self {
        Self { schema: 1, time: Some(Timestamp::now()), event, ..Self::default() }
    }

    fn fault(failure: &'a Failure) -> Self {
        Self {
            reason: Some(failure.reason.text()),
            object: Some(escaped(&failure.object, 400)),
            message: Some(escaped(&failure.message, 2000)),
            ..Self::new("fault")
        }
    }

    fn request(visit: &'a Visit) -> Self {
        let cut = |text: &Option<String>| text.as_ref().map(|text| escaped(text, 300));
        #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
        let duration_ms = visit.took.as_micros() as f64 / 1000.0;
        let request = Request {
            status: visit.status,
            code: visit.code,
            method: escaped(&visit.method, 20),
            route: visit.route,
            repository: cut(&visit.repository),
            reference: cut(&visit.reference),
            path: cut(&visit.path),
            remote: visit.remote,
            account: cut(&visit.account),
            received: visit.received,
            sent: visit.sent,
            duration_ms,
            agent: cut(&visit.agent),
        };
        Self { request: Some(request), ..Self::new("request") }
    }

    /// JSON, or the same fields as `name=value`, those that are there.
    fn line(&self, form: LogForm) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        if form == LogForm::Json {
            return json.to_string();
        }
        let time = self.time.map(|time| time.to_string()).unwrap_or_default();
        let mut line = format!("{time} {}", self.event);
        for name in FIELDS {
            let value = match json.get(name) {
                None | Some(serde_json::Value::Null) => continue,
                Some(serde_json::Value::String(text)) => quoted(text),
                Some(other) => other.to_string(),
            };
            line = format!("{line} {name}={value}");
        }
        line
    }
}

/// The fields of a line of text, in their order.
const FIELDS: [&str; 18] = [
    "status",
    "code",
    "method",
    "route",
    "repository",
    "reference",
    "path",
    "remote",
    "account",
    "received",
    "sent",
    "duration_ms",
    "agent",
    "address",
    "access",
    "reason",
    "object",
    "message",
];

/// A word as it is, anything else in quotes.
fn quoted(text: &str) -> String {
    let word =
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '='));
    if word { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::Reason;

    fn visit() -> Visit {
        Visit {
            remote: Some(SocketAddr::from(([127, 0, 0, 1], 5555))),
            method: "GET".into(),
            route: "manifest",
            repository: Some("docker.io/library/debian".into()),
            reference: Some("13".into()),
            status: Some(404),
            code: Some("MANIFEST_UNKNOWN"),
            sent: 92,
            took: Duration::from_micros(1250),
            agent: Some("x\u{1b}[2J\r\nstatus=200 \"\u{202e}".into()),
            ..Visit::default()
        }
    }

    /// The line without its time, which is that of the test.
    fn text(event: &Event<'_>, level: Level) -> Option<String> {
        line(event, LogForm::Text, level).map(|line| line.split_once(' ').unwrap().1.to_owned())
    }

    /// H05: what a client calls itself begins no line and moves no cursor.
    #[test]
    fn a_line_is_one_line_whatever_a_client_writes() {
        let visit = visit();
        let event = Event::Request(&visit);
        assert_eq!(
            text(&event, Level::Normal).unwrap(),
            "request status=404 code=MANIFEST_UNKNOWN method=GET route=manifest \
             repository=docker.io/library/debian reference=13 remote=127.0.0.1:5555 received=0 sent=92 \
             duration_ms=1.25 agent=\"x\\\\u{1b}[2J\\\\u{d}\\\\u{a}status=200 \\\"\\\\u{202e}\""
        );
        let json: serde_json::Value =
            serde_json::from_str(&line(&event, LogForm::Json, Level::Normal).unwrap()).unwrap();
        assert_eq!(
            (&json["schema"], &json["event"], &json["status"]),
            (&1.into(), &"request".into(), &404.into())
        );
        assert_eq!(json["agent"], "x\\u{1b}[2J\\u{d}\\u{a}status=200 \"\\u{202e}");
        assert_eq!(json["duration_ms"], 1.25);
        assert!(Timestamp::parse(json["time"].as_str().unwrap()).is_some());
        assert_eq!(json.get("reason"), None);
        let many = Visit { agent: Some("a".repeat(10_000)), ..visit };
        assert!(text(&Event::Request(&many), Level::Normal).unwrap().len() < 700);
    }

    #[test]
    fn who_wants_more_is_told_more() {
        let fine = Visit { status: Some(200), code: None, ..visit() };
        let gone = Visit { status: None, code: None, ..visit() };
        let failure = Failure::new(Reason::StoreDamaged, "/srv/a b", "found\nother");
        for (event, levels) in [
            (Event::Request(&fine), &[Level::Verbose][..]),
            (Event::Request(&visit()), &[Level::Normal, Level::Verbose]),
            (Event::Request(&gone), &[Level::Normal, Level::Verbose]),
            (Event::Fault(&failure), &[Level::Quiet, Level::Normal, Level::Verbose]),
        ] {
            for level in [Level::Quiet, Level::Normal, Level::Verbose] {
                assert_eq!(text(&event, level).is_some(), levels.contains(&level), "{event:?} {level:?}");
            }
        }
        assert_eq!(
            text(&Event::Fault(&failure), Level::Quiet).unwrap(),
            "fault reason=store-damaged object=\"/srv/a b\" message=\"found\\\\u{a}other\""
        );
    }

    #[test]
    fn a_full_queue_loses_lines_and_says_so() {
        let (lines, waiting) = sync_channel(1);
        let (_end, ended) = sync_channel(1);
        let journal = Journal { form: LogForm::Text, level: Level::Normal, lines, ended };
        let hear = journal.hear();
        let visit = visit();
        assert!(hear(&Event::Request(&visit)));
        assert!(!hear(&Event::Request(&visit)), "nobody reads");
        waiting.recv().unwrap();
        assert!(hear(&Event::Request(&visit)));
    }
}
