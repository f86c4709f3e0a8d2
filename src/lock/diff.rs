//! What differs between two locks, and between a lock and its manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::model::{Lock, LockedChart, LockedDependency, LockedFile, LockedImage};
use crate::{
    base::text,
    manifest::{Manifest, WantedChart, WantedFile, WantedImage},
};

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Only the new lock has it.
    Added,
    /// Only the old lock has it.
    Removed,
    /// Both have it, with other content.
    Changed,
}

/// One difference; `Display` is one line of a drift report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// `image`, `chart` or `file`.
    pub what: &'static str,
    /// Name of the entry; the new one where a request now leads to another version.
    pub name: String,
    /// What the old lock has: a digest, or tag or version and digest.
    pub from: Option<String>,
    /// What the new lock has.
    pub to: Option<String>,
    /// What else differs: platforms, referrers and the like.
    pub details: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        };
        write!(f, "{verb} {} {}", self.what, text::escaped(&self.name, 400))?;
        let escaped = |text: &String| text::escaped(text, 400);
        let mut parts = Vec::new();
        match (self.from.as_ref().map(escaped), self.to.as_ref().map(escaped)) {
            (Some(from), Some(to)) if from != to => parts.push(format!("{from} -> {to}")),
            (Some(one), None) | (None, Some(one)) => parts.push(one),
            _ => {}
        }
        parts.extend(self.details.iter().map(escaped));
        if parts.is_empty() { Ok(()) } else { write!(f, ": {}", parts.join("; ")) }
    }
}

/// An entry of any kind, as far as differences go.
struct Entry<'a> {
    name: &'a str,
    wanted: &'a str,
    /// Digest of the root.
    digest: String,
    /// Tag or version, told when two entries of one request have other names.
    version: &'a str,
    /// Everything else that is content, as label and sorted items.
    facts: Vec<(&'static str, Vec<String>)>,
}

impl<'a> Entry<'a> {
    fn image(image: &'a LockedImage) -> Self {
        let referrers = image.referrers.iter().map(|referrer| referrer.digest.to_string()).collect();
        Self {
            name: &image.name,
            wanted: &image.wanted,
            digest: image.root.digest.to_string(),
            version: tag(&image.name),
            facts: vec![
                ("platform", image.platforms.clone()),
                ("absent image", image.absent.iter().map(ToString::to_string).collect()),
                ("referrer", referrers),
            ],
        }
    }

    fn chart(chart: &'a LockedChart) -> Self {
        let mut dependencies = Vec::new();
        flatten(&chart.dependencies, &mut dependencies);
        Self {
            name: &chart.name,
            wanted: &chart.wanted,
            digest: chart.root.digest.to_string(),
            version: &chart.version,
            facts: vec![
                ("archive", vec![chart.archive.to_string()]),
                ("provenance", chart.provenance.iter().map(ToString::to_string).collect()),
                ("dependency", dependencies),
            ],
        }
    }

    fn file(file: &'a LockedFile) -> Self {
        Self {
            name: &file.name,
            wanted: &file.wanted,
            digest: file.root.digest.to_string(),
            version: tag(&file.name),
            facts: vec![("content", vec![file.content.to_string()])],
        }
    }
}

fn flatten(list: &[LockedDependency], into: &mut Vec<String>) {
    for one in list {
        into.push(format!("{} {} {}", one.name, one.version, one.archive));
        flatten(&one.dependencies, into);
    }
}

/// The tag at the end of a reference.
fn tag(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    name.rsplit_once(':').map_or("", |(_, tag)| tag)
}

/// What changed from `old` to `new`, by kind and name. Requests and times are no content and do not count.
pub fn diff(old: &Lock, new: &Lock) -> Vec<Change> {
    let mut changes = compare(
        "image",
        old.images.iter().map(Entry::image).collect(),
        new.images.iter().map(Entry::image).collect(),
    );
    changes.extend(compare(
        "chart",
        old.charts.iter().map(Entry::chart).collect(),
        new.charts.iter().map(Entry::chart).collect(),
    ));
    changes.extend(compare(
        "file",
        old.files.iter().map(Entry::file).collect(),
        new.files.iter().map(Entry::file).collect(),
    ));
    changes
}

fn compare(what: &'static str, old: Vec<Entry<'_>>, new: Vec<Entry<'_>>) -> Vec<Change> {
    let mut before: BTreeMap<&str, Entry<'_>> = old.into_iter().map(|entry| (entry.name, entry)).collect();
    let mut changes = Vec::new();
    let mut added: Vec<Entry<'_>> = Vec::new();
    for entry in new {
        match before.remove(entry.name) {
            Some(earlier) => changes.extend(changed(what, &earlier, &entry, false)),
            None => added.push(entry),
        }
    }
    // A range that now leads to another version is one change of its request, not a removal and an addition.
    for entry in added {
        let mut same_request = before.values().filter(|earlier| earlier.wanted == entry.wanted);
        let earlier = match (same_request.next(), same_request.next()) {
            (Some(only), None) => Some(only.name),
            _ => None,
        };
        match earlier.and_then(|name| before.remove(name)) {
            Some(earlier) => changes.extend(changed(what, &earlier, &entry, true)),
            None => changes.push(Change {
                kind: ChangeKind::Added,
                what,
                name: entry.name.to_owned(),
                from: None,
                to: Some(entry.digest),
                details: Vec::new(),
            }),
        }
    }
    changes.extend(before.into_values().map(|entry| Change {
        kind: ChangeKind::Removed,
        what,
        name: entry.name.to_owned(),
        from: Some(entry.digest),
        to: None,
        details: Vec::new(),
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

fn changed(what: &'static str, old: &Entry<'_>, new: &Entry<'_>, renamed: bool) -> Option<Change> {
    let other_root = old.digest != new.digest;
    let mut details = Vec::new();
    for ((label, before), (_, after)) in old.facts.iter().zip(&new.facts) {
        let gone: Vec<_> = before.iter().filter(|item| !after.contains(item)).collect();
        let come: Vec<_> = after.iter().filter(|item| !before.contains(item)).collect();
        if other_root && !matches!(*label, "platform" | "dependency") {
            // Under another root these are other things by nature; how many says enough.
            if before.len() != after.len() {
                details.push(format!("{} -> {}", before.len(), text::count(after.len(), label)));
            }
        } else {
            details.extend(gone.into_iter().map(|item| format!("-{label} {item}")));
            details.extend(come.into_iter().map(|item| format!("+{label} {item}")));
        }
    }
    if old.digest == new.digest && details.is_empty() && !renamed {
        return None;
    }
    let side = |entry: &Entry<'_>| {
        if renamed { format!("{} {}", entry.version, entry.digest) } else { entry.digest.clone() }
    };
    Some(Change {
        kind: ChangeKind::Changed,
        what,
        name: new.name.to_owned(),
        from: Some(side(old)),
        to: Some(side(new)),
        details,
    })
}

/// How the lock fails to answer the manifest: requests that it lacks, and entries that nobody wants any
/// more. Empty when it fits. Upstream is not asked.
pub fn covers(lock: &Lock, manifest: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, wanted: Vec<String>, locked: Vec<(&str, Vec<&str>)>| {
        let answered: BTreeSet<&str> =
            locked.iter().flat_map(|(_, requests)| requests.iter().copied()).collect();
        for request in wanted.iter().filter(|request| !answered.contains(request.as_str())) {
            lines.push(format!("not locked: {what} {}", text::escaped(request, 400)));
        }
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        for (name, requests) in &locked {
            let name = text::escaped(name, 400);
            let gone: Vec<&str> =
                requests.iter().copied().filter(|request| !wanted.contains(request)).collect();
            if gone.len() == requests.len() {
                lines.push(format!("no longer wanted: {what} {name}"));
            } else {
                let gone = gone.iter().map(|request| text::escaped(request, 400));
                lines.extend(gone.map(|request| format!("{what} {name} is no longer wanted by {request}")));
            }
        }
    };
    compare(
        "image",
        manifest.images.iter().map(WantedImage::wanted).collect(),
        lock.images.iter().map(|image| (image.name.as_str(), image.requests().collect())).collect(),
    );
    compare(
        "chart",
        manifest.charts.iter().map(WantedChart::wanted).collect(),
        lock.charts.iter().map(|chart| (chart.name.as_str(), chart.requests().collect())).collect(),
    );
    compare(
        "file",
        manifest.files.iter().map(WantedFile::wanted).collect(),
        lock.files.iter().map(|file| (file.name.as_str(), vec![file.wanted.as_str()])).collect(),
    );
    lines
}
