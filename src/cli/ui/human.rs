//! Reports as text for people. Readable without colour, one fact a line.

use std::fmt::Write as _;

use super::site::in_doubt;
use crate::{
    base::text::{bytes, count, escaped},
    cosign::{ImageEvidence, Outcome},
    report::{
        BuildReport, Change, DiffReport, DoctorReport, ImportReport, InitReport, InspectReport, KeyReport,
        LockReport, PlanReport, SignKeyLine, SignReport, VerifyReport,
    },
};

/// A report that people can read.
pub(crate) trait Human {
    /// The text, line feed at the end.
    fn human(&self) -> String;
}

/// Collects lines; writing to a string cannot fail.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn line(&mut self, line: impl std::fmt::Display) {
        let _infallible = writeln!(self.0, "{line}");
    }

    /// Who signed which image; those that nobody asked about in one line.
    fn signatures(&mut self, images: &[ImageEvidence]) {
        let is_verified = |image: &&ImageEvidence| image.outcome == Outcome::Verified;
        let rows: Vec<Vec<String>> = images
            .iter()
            .filter(is_verified)
            .map(|image| vec![name(&image.name), name(&image.words())])
            .collect();
        let of = |outcome: Outcome| images.iter().filter(|image| image.outcome == outcome).count();
        let (unchecked, unsigned) = (of(Outcome::NotChecked), of(Outcome::Unsigned));
        if images.is_empty() {
            return;
        }
        self.line(format!(
            "upstream signatures: {} verified, {unchecked} not checked, {unsigned} unsigned",
            rows.len()
        ));
        self.table(&rows);
    }

    /// A table with columns as wide as their widest cell, two spaces between.
    pub(super) fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            self.line(format!("  {}", cells.join("  ").trim_end()));
        }
    }
}

/// The first twelve hex digits after the algorithm; the whole digest is in `--output json`.
pub(super) fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hex)) => format!("{algorithm}:{}", hex.get(..12).unwrap_or(hex)),
        None => digest.get(..12).unwrap_or(digest).to_owned(),
    }
}

pub(super) fn name(text: &str) -> String {
    escaped(text, 300)
}

fn change_rows(changes: &[Change]) -> Vec<Vec<String>> {
    changes
        .iter()
        .map(|change| {
            let sign = match change.change {
                "added" => "+",
                "removed" => "-",
                _ => "~",
            };
            let mut what: Vec<String> =
                [&change.from, &change.to].into_iter().flatten().map(|d| short(d)).collect();
            what.dedup();
            let mut what = vec![what.join(" -> ")];
            what.extend(change.details.iter().map(|detail| name(detail)));
            vec![sign.to_owned(), change.kind.to_owned(), name(&change.name), what.join("; ")]
        })
        .collect()
}

impl Human for LockReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!(
            "{}: {}, {}, {}, at most {}",
            name(&self.path),
            count(self.images, "image"),
            count(self.charts, "chart"),
            count(self.files, "file"),
            bytes(self.bytes)
        ));
        if self.changes.is_empty() {
            page.line("nothing changed");
        }
        page.table(&change_rows(&self.changes));
        page.signatures(&self.upstream_signatures);
        page.0
    }
}

impl Human for PlanReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("would write {}", name(&self.path)));
        let rows: Vec<Vec<String>> = self
            .items
            .iter()
            .map(|item| vec![item.kind.to_owned(), name(&item.name), short(&item.digest), bytes(item.bytes)])
            .collect();
        page.table(&rows);
        page.line(format!(
            "{}, {} of content, {} to fetch; at most {} in {}",
            count(self.items.len(), "artifact"),
            bytes(self.content_bytes),
            bytes(self.fetch_bytes),
            bytes(self.bundle_bytes),
            count(self.volumes, "volume")
        ));
        page.0
    }
}

impl Human for BuildReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        let what = if self.unchanged { "is there already, whole and unchanged" } else { "sealed" };
        page.line(format!("{} {what}", name(&self.path)));
        page.line(format!(
            "  {} {}: {}, {}, {} in {}",
            self.name,
            self.version,
            count(self.artifacts, "artifact"),
            count(self.blobs, "blob"),
            bytes(self.bytes),
            count(self.volumes.len(), "volume")
        ));
        page.line(format!("  SHA256SUMS {}", self.sums_digest));
        page.line(format!("  signed by  {}", self.signers.join(", ")));
        page.signatures(&self.upstream_signatures);
        page.0
    }
}

impl Human for VerifyReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("good: {}", name(&self.path)));
        page.line(format!(
            "  {} {}, channel {}, sequence {}.{}",
            self.name, self.version, self.channel, self.epoch, self.sequence
        ));
        page.line(format!("  made       {} by its builder's clock", self.created));
        for (at, by) in self.signers.iter().enumerate() {
            page.line(format!("  {}  {by}", if at == 0 { "signed by" } else { "         " }));
        }
        if let Some(version) = self.trust_version {
            page.line(format!("  trust      version {version}"));
        }
        if let Some(site) = &self.site {
            page.line(format!("  for site   {site}"));
        }
        if let Some(expires) = &self.expires {
            page.line(format!("  expires    {expires}"));
        }
        if !self.ignored_signatures.is_empty() {
            page.line(format!("  ignored    signatures {}", self.ignored_signatures.join(", ")));
        }
        page.line(format!("  SHA256SUMS {}", self.sums_digest));
        page.line(format!(
            "  checked    {}, {}, {}, {}",
            count(self.artifacts, "artifact"),
            count(self.blobs, "blob"),
            count(self.volumes, "volume"),
            bytes(self.bytes)
        ));
        page.signatures(&self.upstream_signatures);
        page.0
    }
}

impl Human for InspectReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("{} {}  (read, not verified)", name(&self.name), name(&self.version)));
        if let Some(description) = &self.description {
            page.line(format!("  {}", escaped(description, 500)));
        }
        page.line(format!("  channel {}, sequence {}.{}", name(&self.channel), self.epoch, self.sequence));
        page.line(format!("  made {} by {}", name(&self.created), name(&self.tool)));
        if let Some(previous) = &self.previous {
            page.line(format!("  follows {previous}"));
        }
        if let Some(site) = &self.site {
            page.line(format!("  for site {}", name(site)));
        }
        if let Some(version) = self.trust_version {
            page.line(format!("  asks for trust version {version}"));
        }
        if let Some(expires) = &self.expires {
            page.line(format!("  expires {}", name(expires)));
        }
        page.line(format!("  SHA256SUMS {}", self.sums_digest));
        for signature in &self.signatures {
            page.line(format!("  signature {signature}"));
        }
        for volume in &self.volumes {
            page.line(format!("  volume {} {}", name(&volume.path), bytes(volume.size)));
        }
        page.line(format!(
            "{}, {}, {}",
            count(self.artifacts.len(), "artifact"),
            count(self.blobs, "blob"),
            bytes(self.bytes)
        ));
        let rows: Vec<Vec<String>> = self
            .artifacts
            .iter()
            .map(|artifact| {
                let mut extra = artifact.platforms.iter().map(|platform| name(platform)).collect::<Vec<_>>();
                if artifact.absent > 0 {
                    extra.push(format!("{} not carried", count(artifact.absent, "child manifest")));
                }
                if artifact.referrers > 0 {
                    extra.push(count(artifact.referrers, "referrer"));
                }
                vec![
                    artifact.kind.to_owned(),
                    name(&artifact.name),
                    short(&artifact.digest),
                    extra.join(", "),
                ]
            })
            .collect();
        page.table(&rows);
        page.signatures(&self.upstream_signatures);
        page.0
    }
}

impl Human for DiffReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("{} -> {}", name(&self.from), name(&self.to)));
        page.table(&change_rows(&self.changes));
        page.line(format!(
            "{} changed, {} the same; {} of content added, {} removed",
            count(self.changes.len(), "artifact"),
            self.same,
            bytes(self.bytes_added),
            bytes(self.bytes_removed)
        ));
        page.0
    }
}

impl Human for SignReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        let seen = match (&self.exported, self.checked) {
            (Some(file), _) => format!("checked whole; {} is what to sign", name(file)),
            (None, true) => "every byte is what its SHA256SUMS says".to_owned(),
            (None, false) => "only SHA256SUMS was read, not the content".to_owned(),
        };
        page.line(format!("{}: {seen}", name(&self.path)));
        page.line(format!(
            "  {} {}, channel {}, sequence {}.{}",
            self.name, self.version, self.channel, self.epoch, self.sequence
        ));
        page.line(format!("  made       {} by its builder's clock", self.created));
        if let Some(previous) = &self.previous {
            page.line(format!("  follows    {previous}"));
        }
        if let Some(site) = &self.site {
            page.line(format!("  for site   {site}"));
        }
        if self.trust > 0 {
            page.line(format!("  trust      version {} or newer", self.trust));
        }
        if let Some(expires) = &self.expires {
            page.line(format!("  expires    {expires}"));
        }
        page.line(format!("  SHA256SUMS {}", self.sums_digest));
        if let (Some(artifacts), Some(blobs), Some(content)) = (self.artifacts, self.blobs, self.bytes) {
            page.line(format!(
                "  holds      {}, {}, {}, {}",
                count(artifacts, "artifact"),
                count(blobs, "blob"),
                count(self.volumes, "volume"),
                bytes(content)
            ));
        } else {
            page.line(format!("  lists      {}", self.files.join(", ")));
        }
        if !self.signatures.is_empty() {
            page.line(format!("  signatures {}, not checked here", self.signatures.join(", ")));
        }
        for key in &self.keys {
            page.0.push_str(&key.human());
        }
        page.0
    }
}

impl Human for SignKeyLine {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(match (self.state, &self.last) {
            ("added", _) => format!("key {}", self.key_id),
            (_, None) => format!("key {} signed nothing in this channel from here before", self.key_id),
            (_, Some(last)) => format!(
                "key {} signed last sequence {}.{}, {}",
                self.key_id, last.epoch, last.sequence, last.sums_digest
            ),
        });
        if let Some(difference) = &self.difference {
            page.0.push_str(&difference.human());
        }
        match (self.state, &self.path) {
            ("signed", Some(path)) => page.line(format!("signed: {}", name(path))),
            ("added", Some(path)) => page.line(format!("holds, and was added: {}", name(path))),
            ("already-signed", _) => page.line("its signature is there already and holds"),
            _ => {}
        }
        page.0
    }
}

impl Human for DoctorReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        for check in &self.checks {
            page.line(format!(
                "{:<8} {:<12} {}: {}",
                check.state,
                check.name,
                name(&check.object),
                name(&check.found)
            ));
            if let Some(advice) = &check.advice {
                page.line(format!("{:21} do: {}", "", name(advice)));
            }
        }
        let of = |state| self.checks.iter().filter(|check| check.state == state).count();
        page.line(format!(
            "{}: {}, {}",
            count(self.checks.len(), "check"),
            count(of("problem"), "problem"),
            count(of("warning"), "warning")
        ));
        page.0
    }
}

impl Human for InitReport {
    fn human(&self) -> String {
        format!("wrote {}; list what you need in it, then run `sealift lock`\n", name(&self.path))
    }
}

impl Human for KeyReport {
    fn human(&self) -> String {
        self.public_key.clone()
    }
}

impl Human for ImportReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        let verb = if self.dry_run { "would import" } else { "imported" };
        page.line(format!(
            "{verb} {} {} into {}",
            self.bundle.name,
            self.bundle.version,
            name(&self.destination)
        ));
        let bundle = &self.bundle;
        let again = if self.again { ", which was here already" } else { "" };
        page.line(format!(
            "  channel {}, sequence {}.{}{again}",
            name(&bundle.channel),
            bundle.epoch,
            bundle.sequence
        ));
        for (at, by) in bundle.signers.iter().enumerate() {
            page.line(format!("  {} {by}", if at == 0 { "signed by" } else { "         " }));
        }
        let rows: Vec<Vec<String>> = self
            .artifacts
            .iter()
            .map(|artifact| {
                vec![artifact.kind.clone(), name(&artifact.target), short(&artifact.digest.to_string())]
            })
            .collect();
        page.table(&rows);
        if let Some(key) = &self.sign_key {
            let signed = self.artifacts.iter().filter(|artifact| !artifact.signatures.is_empty()).count();
            page.line(format!("{} signed by {key}", count(signed, "image")));
        }
        for doubt in &self.in_doubt {
            page.line(in_doubt(doubt));
        }
        page.line(format!(
            "{}; {} written, {} there already",
            count(self.artifacts.len(), "artifact"),
            bytes(self.counts.bytes_written),
            bytes(self.counts.bytes_skipped)
        ));
        page.0
    }
}
