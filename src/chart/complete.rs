//! Puts missing dependencies into a chart archive, deterministically.
//!
//! The members that are there stay as they are, byte for byte; the new ones follow, sorted by name. The
//! same input gives the same bytes: no time, no owner, one compression level.

use std::io::{self, Read as _, Write as _};

use flate2::{Compression, GzBuilder, read::MultiGzDecoder};

use super::archive::Archive;
use crate::base::failure::{Failure, Reason, Result};

/// The archive with `dependencies` (file name `NAME-VERSION.tgz`, and bytes) added below `charts/`. Without
/// any, the archive as it is.
pub fn complete(archive: &[u8], dependencies: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let chart = Archive::read(archive)?;
    if dependencies.is_empty() {
        return Ok(archive.to_vec());
    }
    let mut dependencies: Vec<&(String, Vec<u8>)> = dependencies.iter().collect();
    dependencies.sort();
    for (at, (name, bytes)) in dependencies.iter().enumerate() {
        let inside = Archive::read(bytes).map_err(|failure| failure.of(name))?;
        let expected = format!("{}-{}.tgz", inside.metadata.name, inside.metadata.version);
        if *name != expected {
            return Err(malformed(&chart, &format!("`{name}` holds what should be called `{expected}`")));
        }
        let repeated = at.checked_sub(1).and_then(|before| dependencies.get(before));
        if chart.charts.contains(name) || repeated.is_some_and(|(other, _)| other == name) {
            return Err(malformed(&chart, &format!("`charts/{name}` would stand twice in the archive")));
        }
    }
    assemble(archive, &chart, &dependencies)
        .map_err(|error| malformed(&chart, &format!("it cannot be written anew: {error}")))
}

fn malformed(chart: &Archive, message: &str) -> Failure {
    let (name, version) = (&chart.metadata.name, &chart.metadata.version);
    Failure::new(Reason::ChartMalformed, format!("chart {name} {version}"), message)
}

fn assemble(archive: &[u8], chart: &Archive, dependencies: &[&(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut out = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::new(6));
    io::copy(&mut MultiGzDecoder::new(archive).take(chart.end), &mut out)?;
    for (name, bytes) in dependencies {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("{}/charts/{name}", chart.metadata.name))?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        out.write_all(bytes)?;
        out.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()])?;
    }
    out.write_all(&[0; 1024])?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::{super::archive::tests::chart, *};

    #[test]
    fn the_result_is_whole_and_always_the_same() {
        let more = "dependencies:\n- {name: b, version: 1.x, repository: \"http://x\"}\n\
                    - {name: a, version: 2.0.0+x, repository: \"http://x\"}\n";
        let web = chart("web", "1.0.0", more);
        let a = ("a-2.0.0+x.tgz".to_owned(), chart("a", "2.0.0+x", ""));
        let b = ("b-1.5.0.tgz".to_owned(), chart("b", "1.5.0", ""));
        assert_eq!(Archive::read(&web).unwrap().missing_dependencies().unwrap().len(), 2);
        let whole = complete(&web, &[b.clone(), a.clone()]).unwrap();
        assert_eq!(whole, complete(&web, &[a.clone(), b]).unwrap());
        let read = Archive::read(&whole).unwrap();
        assert_eq!(read.vendored, [("a".into(), "2.0.0+x".into()), ("b".into(), "1.5.0".into())]);
        assert!(read.missing_dependencies().unwrap().is_empty());
        assert_eq!(complete(&web, &[]).unwrap(), web);

        let wrong_name = ("../a-2.0.0+x.tgz".to_owned(), a.1.clone());
        for wrong in [vec![a.clone(), a.clone()], vec![wrong_name]] {
            assert_eq!(complete(&web, &wrong).unwrap_err().reason, Reason::ChartMalformed);
        }
        assert_eq!(complete(&whole, &[a]).unwrap_err().reason, Reason::ChartMalformed);
    }
}
