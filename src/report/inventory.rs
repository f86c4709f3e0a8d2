//! `inventory.csv`: one line an artifact, for a spreadsheet (RFC 4180, but with line feeds).

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `image`, `chart` or `file`.
    pub kind: String,
    /// Full name.
    pub name: String,
    /// Tag, version or digest.
    pub version: String,
    /// Platforms, separated by spaces.
    pub platform: String,
    /// Digest of the root manifest.
    pub digest: String,
    /// Bytes of everything that belongs to it.
    pub size: u64,
    /// Licence, where known.
    pub licence: String,
    /// Where it came from.
    pub source: String,
}

/// The table with its heading.
pub fn csv(rows: impl Iterator<Item = Row>) -> String {
    let mut text = "kind,name,version,platform,digest,size,licence,source\n".to_owned();
    for row in rows {
        let size = row.size.to_string();
        let fields = [
            &row.kind,
            &row.name,
            &row.version,
            &row.platform,
            &row.digest,
            &size,
            &row.licence,
            &row.source,
        ];
        let line: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        text.push_str(&line.join(","));
        text.push('\n');
    }
    text
}

/// A field as a spreadsheet takes it: quoted where it must be, and never as a formula.
fn quoted(field: &str) -> String {
    let field = crate::base::text::escaped(field, 4000);
    let harmless =
        if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field };
    if harmless.contains([',', '"', '\n', '\r', ' ', ';']) {
        format!("\"{}\"", harmless.replace('"', "\"\""))
    } else {
        harmless
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_defused() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(quoted("two words"), "\"two words\"");
    }
}
