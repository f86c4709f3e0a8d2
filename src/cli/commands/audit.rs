//! `sealift audit`

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use super::{date, key, receipt};
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    cli::{
        args::{AuditLedger, AuditSearch, SiteKeys},
        settings::Settings,
        ui::Out,
    },
    ledger::{self, Audit, Auditor, Broken, Head, OffHost, Record, Search},
    report::custody::{AuditReport, FoundReport},
    site::{self, custody},
    trust::PublicKey,
};

pub(super) fn ledger(args: &AuditLedger, settings: &Settings, out: &Out) -> Result<(), Failures> {
    if let Some(to) = &args.export {
        return export(to, settings, out);
    }
    let keys = site_keys(&args.keys, args.file.is_none(), settings)?;
    let heads = args.head.iter().map(|file| head(file, &keys)).collect::<Result<Vec<_>>>()?;
    let (object, audit) = match &args.file {
        Some(file) => (file.display().to_string(), audit_file(file, &keys, &heads)?),
        None => (
            settings.home.display().to_string(),
            site::evidence(&settings.home, |state| Ok(custody::audit(state, &keys, &heads)))??,
        ),
    };
    out.report(&AuditReport::new(object, audit, keys.len()));
    Ok(())
}

pub(super) fn search(args: AuditSearch, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let search = Search {
        since: args.since.as_deref().map(|text| date("--since", text)).transpose()?,
        until: args.until.as_deref().map(|text| date("--until", text)).transpose()?,
        refused: (args.refused || args.done).then_some(args.refused),
        from: args.from,
        events: args.event,
        actions: args.action,
        who: args.who,
        repository: args.repository,
        tag: args.tag,
        digest: args.digest,
    };
    site::each_line(&settings.home, |line| {
        if search.may_fit(line) {
            let record = Record::parse(line)?;
            if search.fits(&record) {
                out.each(&FoundReport { schema: 1, record });
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn export(to: &Path, settings: &Settings, out: &Out) -> Result<(), Failures> {
    // A line feed after each record, as a file has it.
    if to == Path::new("-") {
        site::each_line(&settings.home, |line| {
            out.data(&format!("{line}\n"));
            Ok(())
        })?;
        return Ok(());
    }
    fs::write_output_by(to, |file| {
        site::each_line(&settings.home, |line| {
            writeln!(file, "{line}").map_err(|error| fs::failure(to, "write", &error))
        })
    })?;
    out.note(&format!("wrote {}; nothing was checked", to.display()));
    Ok(())
}

/// Line by line; one that is not whole is read at once, to name what was done to it.
fn audit_file(file: &Path, keys: &[PublicKey], heads: &[OffHost]) -> Result<Audit, Failures> {
    let mut auditor = Auditor::new(keys, heads)?;
    let opened = fs::open_user(file)?;
    let size = opened.metadata().map_err(|error| fs::failure(file, "inspect", &error))?.len();
    let mut reader = BufReader::new(opened);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(limits::LEDGER_LINE_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line);
        if read.map_err(|error| fs::failure(file, "read", &error))? == 0 {
            return auditor.end();
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let seen = std::str::from_utf8(text).map_or(Err(Broken::Line), |text| auditor.see(text));
        let Err(broken) = seen else { continue };
        if size > limits::LEDGER_BYTES {
            return Err(auditor.broken(broken).into());
        }
        let text = read_whole(file)?;
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        return ledger::audit(&lines, keys, heads);
    }
}

fn read_whole(file: &Path) -> Result<String> {
    let bytes = fs::read_limited(file, limits::LEDGER_BYTES, Reason::LedgerMalformed)?;
    String::from_utf8(bytes).map_err(|error| {
        Failure::new(Reason::LedgerMalformed, file.display(), format!("it is no text: {error}"))
            .hint("give the file that `sealift audit ledger --export` wrote")
    })
}

/// The keys that were given, else those of the home; for a file from elsewhere the home has none.
pub(super) fn site_keys(
    args: &SiteKeys,
    is_of_home: bool,
    settings: &Settings,
) -> Result<Vec<PublicKey>, Failures> {
    if !args.key.is_empty() || !is_of_home {
        return key::public_keys(&args.key);
    }
    Ok(site::evidence(&settings.home, |state| site::importer_keys(&settings.home, state))?)
}

/// A receipt says where the ledger stood; else a line does.
fn head(file: &Path, keys: &[PublicKey]) -> Result<OffHost> {
    let from = file.display().to_string();
    let text = fs::read_user_text(file)?;
    if text.starts_with('{') {
        let receipt = receipt::open(text.as_bytes(), keys).map_err(|failure| failure.of(&from))?;
        let head = receipt.facts().ledger.clone();
        return Ok(OffHost { from, head, receipt: Some(receipt.digest()) });
    }
    let head: Head = text.parse().map_err(|failure: Failure| failure.of(&from))?;
    Ok(OffHost { from, head, receipt: None })
}
