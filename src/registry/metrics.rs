//! What is counted, and the page that Prometheus reads (text format 0.0.4).
//!
//! Every label has one of few values that stand in this program: what a client writes is never one, so that no client
//! makes the page grow (threats X08).

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{log::Visit, records::Counts};
use crate::base::clock::Timestamp;

/// Upper ends of the buckets of durations, in seconds. The last is for transfers of large blobs.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];
/// The methods that are counted by name.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Counts since the server started.
#[derive(Debug)]
pub(super) struct Metrics {
    started: Timestamp,
    visits: Mutex<Visits>,
    received: AtomicU64,
    sent: AtomicU64,
    connections: AtomicU64,
    connected: AtomicU64,
    turned_away: AtomicU64,
    over_rate: AtomicU64,
}

/// What is counted of requests when they are over.
#[derive(Debug, Default)]
struct Visits {
    /// By route, method and class of the status.
    requests: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// By route.
    durations: BTreeMap<&'static str, Durations>,
    /// By code.
    refusals: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

/// What is looked up when the page is asked for.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Events that the log lost.
    pub(super) lost: u64,
    /// What went to the ledger.
    pub(super) records: Counts,
    /// Pushes of blobs under way.
    pub(super) uploads: Option<u64>,
    /// Blobs of the store, and their bytes.
    pub(super) blobs: Option<(u64, u64)>,
    /// Bytes that are free on its disk.
    pub(super) free: Option<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Timestamp::now(),
            visits: Mutex::default(),
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
            connections: AtomicU64::default(),
            connected: AtomicU64::default(),
            turned_away: AtomicU64::default(),
            over_rate: AtomicU64::default(),
        }
    }
}

impl Metrics {
    /// A request is over.
    pub(super) fn visited(&self, visit: &Visit) {
        let method = METHODS.into_iter().find(|name| *name == visit.method).unwrap_or("other");
        let class = match visit.status.map(|status| status / 100) {
            Some(1) => "1xx",
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            _ => "none",
        };
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        *visits.requests.entry((visit.route, method, class)).or_default() += 1;
        if let Some(code) = visit.code {
            *visits.refusals.entry(code).or_default() += 1;
        }
        let durations = visits.durations.entry(visit.route).or_default();
        durations.count += 1;
        durations.sum += visit.took;
        let seconds = visit.took.as_secs_f64();
        for (bucket, _) in durations.buckets.iter_mut().zip(BUCKETS).filter(|(_, most)| seconds <= *most) {
            *bucket += 1;
        }
    }

    /// Bytes of a request came.
    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// Bytes of an answer went.
    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// A connection was opened.
    pub(super) fn connected(&self) {
        self.connected.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed);
    }

    /// A connection was closed at once: its address has too many.
    pub(super) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    /// A request was refused: its caller makes too many.
    pub(super) fn over_rate(&self) {
        self.over_rate.fetch_add(1, Relaxed);
    }

    /// A connection was closed.
    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// The page.
    pub(super) fn page(&self, measured: &Measured) -> String {
        let mut page = Page::default();
        page.family("sealift_build_info", "gauge", "The program that serves.");
        page.sample("sealift_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.one("process_start_time_seconds", "gauge", "When it started.", self.started.seconds());
        {
            let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
            visits.write(&mut page);
        }
        for (name, kind, help, value) in [
            ("sealift_received_bytes_total", "counter", "Bytes of bodies that clients sent.", &self.received),
            ("sealift_sent_bytes_total", "counter", "Bytes of bodies that were sent to clients.", &self.sent),
            ("sealift_connections_total", "counter", "Connections that were accepted.", &self.connected),
            (
                "sealift_connections_refused_total",
                "counter",
                "Connections that were closed at once: too many from one address.",
                &self.turned_away,
            ),
            ("sealift_open_connections", "gauge", "Connections that are open.", &self.connections),
            (
                "sealift_requests_over_rate_total",
                "counter",
                "Requests that were refused: too many by one caller.",
                &self.over_rate,
            ),
        ] {
            page.one(name, kind, help, value.load(Relaxed));
        }
        page.one("sealift_log_lost_total", "counter", "Events that the log had no room for.", measured.lost);
        let Counts { written, waiting, failures } = measured.records;
        for (name, kind, help, value) in [
            (
                "sealift_records_total",
                "counter",
                "Records of pulls, refusals and logins in the ledger.",
                written,
            ),
            ("sealift_records_waiting", "gauge", "Of those, what is to be written within a second.", waiting),
            ("sealift_records_failures_total", "counter", "Times that they could not be written.", failures),
        ] {
            page.one(name, kind, help, value);
        }
        for (name, help, value) in [
            ("sealift_uploads", "Pushes of blobs under way.", measured.uploads),
            ("sealift_store_blobs", "Blobs of the store.", measured.blobs.map(|(count, _)| count)),
            ("sealift_store_blob_bytes", "Bytes of these blobs.", measured.blobs.map(|(_, bytes)| bytes)),
            ("sealift_store_free_bytes", "Bytes free on the disk of the store.", measured.free),
        ] {
            if let Some(value) = value {
                page.one(name, "gauge", help, value);
            }
        }
        page.0
    }
}

impl Visits {
    fn write(&self, page: &mut Page) {
        let name = "sealift_http_requests_total";
        page.family(name, "counter", "Requests that are over; status `none`: the client did not wait.");
        for ((route, method, class), count) in &self.requests {
            page.sample(name, &[("route", route), ("method", method), ("status", class)], count);
        }
        let name = "sealift_http_request_duration_seconds";
        page.family(name, "histogram", "From the head of a request to the end of its answer.");
        for (route, durations) in &self.durations {
            let bucket = format!("{name}_bucket");
            for (count, most) in durations.buckets.iter().zip(BUCKETS) {
                page.sample(&bucket, &[("route", route), ("le", &most.to_string())], count);
            }
            page.sample(&bucket, &[("route", route), ("le", "+Inf")], durations.count);
            page.sample(&format!("{name}_sum"), &[("route", route)], durations.sum.as_secs_f64());
            page.sample(&format!("{name}_count"), &[("route", route)], durations.count);
        }
        let name = "sealift_http_refusals_total";
        page.family(name, "counter", "Errors that clients were told, by their code.");
        for (code, count) in &self.refusals {
            page.sample(name, &[("code", code)], count);
        }
    }
}

/// Lines of the format. Values of labels are words of this program and need no escapes.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _infallible = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}
