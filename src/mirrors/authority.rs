//! The certificates that nodes accept from the registry.

/// Certificates in PEM form, and nothing else: what is handed to nodes holds no key that lay in the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(String);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

impl Authority {
    /// The certificates among what a file says; `None` where there is none. Whether they can be used is for who
    /// speaks TLS to say.
    pub fn of(text: &str) -> Option<Self> {
        let mut kept = String::new();
        let mut block: Option<String> = None;
        for line in text.lines().map(str::trim) {
            match block.as_mut() {
                _ if line == BEGIN => block = Some(format!("{BEGIN}\n")),
                Some(block) if line == END => kept = format!("{kept}{block}{END}\n"),
                Some(block) if is_base64(line) => *block = format!("{block}{line}\n"),
                _ => block = None,
            }
            if line == END {
                block = None;
            }
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The text, with line feeds.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

fn is_base64(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_taken_and_nothing_else() {
        let one = format!("{BEGIN}\nMIIB\nAA==\n{END}\n");
        let two = format!("{BEGIN}\nMIIC\n{END}\n");
        let key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
        let found = |text: &str| Authority::of(text).map(|found| found.pem().to_owned());
        assert_eq!(found(&one), Some(one.clone()));
        assert_eq!(found(&one.replace('\n', "\r\n")), Some(one.clone()));
        assert_eq!(found(&format!("Subject: x\n{one}{key}{two}")), Some(format!("{one}{two}")));
        // Not ended, or holding what is no PEM: no certificate, and not one with what follows.
        assert_eq!(found(&format!("{BEGIN}\nMIID\n{two}")), Some(two.clone()));
        assert_eq!(found(&format!("{BEGIN}\nMI: \"x\"\n{END}\n{two}")), Some(two));
        for none in ["", key, &format!("{BEGIN}\nMIIB\n"), &format!("{END}\n")] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
