//! Whether enough people signed: the one place where signatures are counted.
//!
//! A rule names keys with their holders and how many *distinct holders* it takes. One person counts once,
//! with however many keys and signatures (threats T03), and never for two rules of the same text at once:
//! whoever releases does not also approve.

use std::collections::BTreeSet;

use super::PublicKey;
use crate::base::failure::{Failure, Reason, Result};

/// A signature as found beside a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key it claims to be by: a hint from the media, used only to find a key that is trusted (T08).
    pub key_id: String,
    /// The signature, whatever it is.
    pub bytes: Vec<u8>,
}

/// Who may sign for something, and how many it takes.
#[derive(Debug, Clone)]
pub struct Rule<'a> {
    /// As messages name it: `release`, `approver`, `root of version 2`.
    pub name: String,
    /// Keys that count, with their holders.
    pub keys: Vec<(&'a PublicKey, &'a str)>,
    /// Distinct holders that it takes, at least 1.
    pub threshold: usize,
}

/// A key that is known and does not count, and why: worth a better message than "unknown".
#[derive(Debug, Clone)]
pub struct Excluded<'a> {
    /// The key.
    pub key: &'a PublicKey,
    /// [`Reason::KeyRevoked`], [`Reason::KeyRole`] or [`Reason::KeySequence`].
    pub reason: Reason,
    /// What is wrong with it, in words that follow the key id.
    pub why: String,
}

/// Somebody whose signature holds and counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct SignedBy {
    /// Name of the rule.
    pub role: String,
    /// Who.
    pub holder: String,
    /// Id of the key.
    pub key_id: String,
}

impl std::fmt::Display for SignedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys that were given one by one have no holder but themselves.
        if self.holder == self.key_id {
            return f.write_str(&self.key_id);
        }
        write!(f, "{} ({}, key {})", self.holder, self.role, self.key_id)
    }
}

/// Rules that are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// Whose signatures count, sorted. Never empty.
    pub signers: Vec<SignedBy>,
    /// Key ids of the other signatures: by keys that do not count, or broken. They prove nothing and are only
    /// worth a note (T24).
    pub ignored: Vec<String>,
}

/// How far one rule is from being met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Name of the rule.
    pub role: String,
    /// Distinct holders that it takes.
    pub threshold: usize,
    /// Whose signatures hold and count.
    pub signed: BTreeSet<SignedBy>,
    /// Holders who could sign and have not.
    pub others: BTreeSet<String>,
    /// Keys that would count, with a signature that does not hold.
    pub broken: BTreeSet<String>,
}

impl Standing {
    /// Looks at every signature by a key of the rule.
    pub fn of(message: &[u8], signatures: &[Signature], rule: &Rule<'_>) -> Self {
        let (mut signed, mut broken) = (BTreeSet::new(), BTreeSet::new());
        for signature in signatures {
            let key = rule.keys.iter().find(|(key, _)| key.key_id() == signature.key_id);
            let Some((key, holder)) = key else { continue };
            if key.verifies(message, &signature.bytes) {
                signed.insert(SignedBy {
                    role: rule.name.clone(),
                    holder: (*holder).to_owned(),
                    key_id: key.key_id().to_owned(),
                });
            } else {
                broken.insert(signature.key_id.clone());
            }
        }
        let mut standing = Self {
            role: rule.name.clone(),
            threshold: rule.threshold,
            signed,
            others: rule.keys.iter().map(|(_, holder)| (*holder).to_owned()).collect(),
            broken,
        };
        standing.others = standing
            .others
            .iter()
            .filter(|other| !standing.holders().contains(other.as_str()))
            .cloned()
            .collect();
        standing
    }

    /// Distinct holders that signed.
    pub fn holders(&self) -> BTreeSet<&str> {
        self.signed.iter().map(|by| by.holder.as_str()).collect()
    }

    /// How many more must sign.
    pub fn lacks(&self) -> usize {
        self.threshold.saturating_sub(self.holders().len())
    }

    /// Whether enough signed; a threshold of nothing never is enough (T04).
    pub fn is_met(&self) -> bool {
        self.threshold > 0 && self.lacks() == 0
    }
}

/// Counts: every rule must have its threshold of distinct holders, and all rules together as many distinct
/// holders as their thresholds add up to.
///
/// # Errors
/// [`Reason::SignatureMissing`] without any signature. When a rule is not met, what explains it best:
/// [`Reason::SignatureInvalid`] for a signature of a key that would count; the reason of an excluded key whose
/// signature holds; [`Reason::SignatureUntrusted`] when all are by unknown keys; else
/// [`Reason::SignaturesTooFew`], which names the rule and not the key (T23).
pub fn met(
    message: &[u8],
    signatures: &[Signature],
    rules: &[Rule<'_>],
    excluded: &[Excluded<'_>],
) -> Result<Quorum> {
    if signatures.is_empty() {
        return Err(Failure::new(Reason::SignatureMissing, "signatures", "there is no signature at all")
            .hint("what is unsigned is never accepted; ask the sender for the signatures"));
    }
    let standings: Vec<Standing> = rules.iter().map(|rule| Standing::of(message, signatures, rule)).collect();
    let signers: BTreeSet<&SignedBy> = standings.iter().flat_map(|standing| &standing.signed).collect();
    let holding: BTreeSet<&String> = signers.iter().map(|by| &by.key_id).collect();
    let all: usize = rules.iter().map(|rule| rule.threshold).sum();
    let everybody = signers.iter().map(|by| &by.holder).collect::<BTreeSet<_>>().len();
    let unmet = rules.iter().zip(&standings).find(|(_, standing)| !standing.is_met());
    if unmet.is_none() && !rules.is_empty() && everybody >= all {
        let ignored = signatures.iter().map(|signature| &signature.key_id);
        let ignored: BTreeSet<&String> = ignored.filter(|key_id| !holding.contains(key_id)).collect();
        return Ok(Quorum {
            signers: signers.into_iter().cloned().collect(),
            ignored: ignored.into_iter().cloned().collect(),
        });
    }
    let broken: BTreeSet<&String> = standings.iter().flat_map(|standing| &standing.broken).collect();
    let needs = unmet
        .map_or_else(|| format!("{all} different people"), |(rule, _)| people(rule.threshold, &rule.name));
    let found = match unmet.map_or(everybody, |(_, standing)| standing.holders().len()) {
        0 => "nobody's".to_owned(),
        count => format!("only {count}"),
    };
    let message_of = format!("expected the signatures of {needs}, found {found}");
    if let Some(key_id) = broken.iter().find(|key_id| !holding.contains(**key_id)) {
        let message = format!("{message_of}; the one by {key_id} does not hold: it or the text was changed");
        return Err(Failure::new(Reason::SignatureInvalid, format!("signature {key_id}"), message).hint(
            "copy the signed text and its signatures again; if it stays so, do not use it and tell the sender",
        ));
    }
    for other in excluded {
        let id = other.key.key_id();
        let by =
            |signature: &&Signature| signature.key_id == id && other.key.verifies(message, &signature.bytes);
        if signatures.iter().any(|signature| by(&signature)) {
            let message = format!("{message_of}; there is one by {id}, {}", other.why);
            return Err(Failure::new(other.reason, format!("signature {id}"), message)
                .hint("ask the sender to have it signed by those who may"));
        }
    }
    if signers.is_empty() {
        let pinned: Vec<&str> =
            rules.iter().flat_map(|rule| &rule.keys).map(|(key, _)| key.key_id()).collect();
        let found: Vec<&str> = signatures.iter().map(|signature| signature.key_id.as_str()).collect();
        let message = format!(
            "{message_of}; expected a signature by {}, found one by {}",
            listed(&pinned, "or"),
            listed(&found, "and")
        );
        return Err(Failure::new(Reason::SignatureUntrusted, "signatures", message).hint(
            "ask the sender which key signed, and get the public key another way than with the media",
        ));
    }
    let known = rules.iter().flat_map(|rule| &rule.keys).map(|(key, _)| *key);
    let known: BTreeSet<&str> =
        known.chain(excluded.iter().map(|other| other.key)).map(PublicKey::key_id).collect();
    let found = signatures.iter().map(|signature| signature.key_id.as_str());
    let strangers: Vec<&str> = found.filter(|key_id| !known.contains(key_id)).collect();
    if strangers.is_empty() {
        return Err(Failure::new(Reason::SignaturesTooFew, "signatures", message_of).hint(
            "ask the sender to have the others sign too; their signatures are added beside the first",
        ));
    }
    let message = format!("{message_of}; nothing is known here of {}", listed(&strangers, "and"));
    Err(Failure::new(Reason::SignaturesTooFew, "signatures", message).hint(
        "a newer trust document may know who that is: ask the sender for it; else have the others sign too",
    ))
}

/// `1 approver`, `2 release holders`.
fn people(count: usize, role: &str) -> String {
    if count == 1 { format!("1 holder ({role})") } else { format!("{count} different holders ({role})") }
}

/// At most four ids, then how many more.
fn listed(ids: &[&str], word: &str) -> String {
    match ids {
        [] => "no key".to_owned(),
        ids if ids.len() <= 4 => ids.join(&format!(" {word} ")),
        ids => format!(
            "{} {word} {} more",
            ids.iter().take(3).copied().collect::<Vec<_>>().join(", "),
            ids.len() - 3
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Algorithm, PrivateKey};

    const TEXT: &[u8] = b"# sealift bundle 1\n";

    fn keys(count: usize) -> Vec<PrivateKey> {
        let algorithm =
            |n: usize| if n.is_multiple_of(2) { Algorithm::Ed25519 } else { Algorithm::EcdsaP256 };
        (0..count).map(|n| PrivateKey::generate(algorithm(n)).unwrap()).collect()
    }

    fn by(name: &PrivateKey, key: &PrivateKey) -> Signature {
        Signature { key_id: name.public().key_id().to_owned(), bytes: key.sign(TEXT) }
    }

    fn rule<'a>(name: &str, threshold: usize, keys: &[(&'a PrivateKey, &'a str)]) -> Rule<'a> {
        Rule {
            name: name.to_owned(),
            keys: keys.iter().map(|(key, holder)| (key.public(), *holder)).collect(),
            threshold,
        }
    }

    fn reason(signatures: &[Signature], rules: &[Rule<'_>], excluded: &[Excluded<'_>]) -> Reason {
        met(TEXT, signatures, rules, excluded).unwrap_err().reason
    }

    #[test]
    fn only_keys_of_the_rule_count() {
        let [a, b] = &keys(2)[..] else { panic!() };
        let rules = [rule("release", 1, &[(a, "alice")])];
        assert_eq!(reason(&[], &rules, &[]), Reason::SignatureMissing);
        assert_eq!(reason(&[by(b, b)], &rules, &[]), Reason::SignatureUntrusted);
        assert_eq!(reason(&[by(a, b)], &rules, &[]), Reason::SignatureInvalid);
        let quorum = met(TEXT, &[by(b, b), by(a, a)], &rules, &[]).unwrap();
        assert_eq!(quorum.signers.len(), 1);
        assert_eq!(
            (quorum.signers[0].holder.as_str(), quorum.ignored.as_slice()),
            ("alice", &[b.public().key_id().to_owned()][..])
        );
        // T24: a broken one of a key that counts does no harm where the threshold is met without it.
        let two = [rule("release", 1, &[(a, "alice"), (b, "bob")])];
        let quorum = met(TEXT, &[by(a, a), by(b, a)], &two, &[]).unwrap();
        assert_eq!(quorum.ignored, [b.public().key_id()]);
        let known = Excluded { key: b.public(), reason: Reason::KeyRevoked, why: "revoked".to_owned() };
        assert_eq!(reason(&[by(b, b)], &rules, std::slice::from_ref(&known)), Reason::KeyRevoked);
        assert_eq!(reason(&[by(b, a)], &rules, &[known]), Reason::SignatureUntrusted);
    }

    /// T03: the same signature twice, two signatures of one key, one person with two keys.
    #[test]
    fn one_person_counts_once() {
        let [a, a2, b] = &keys(3)[..] else { panic!() };
        let rules = [rule("release", 2, &[(a, "alice"), (a2, "alice"), (b, "bob")])];
        assert_eq!(reason(&[by(a, a), by(a, a)], &rules, &[]), Reason::SignaturesTooFew);
        // Who signed besides is named only where nothing is known of them.
        let only_a = &[rule("release", 2, &[(a, "alice"), (a2, "amy")])];
        let known = Excluded { key: b.public(), reason: Reason::KeyRole, why: "other".to_owned() };
        for (excluded, is_named) in [(&[][..], true), (&[known][..], false)] {
            let failure =
                met(TEXT, &[by(a, a), Signature { bytes: Vec::new(), ..by(b, b) }], only_a, excluded);
            let failure = failure.unwrap_err();
            assert_eq!(failure.reason, Reason::SignaturesTooFew);
            assert_eq!(failure.message.contains(b.public().key_id()), is_named, "{failure}");
        }
        assert_eq!(reason(&[by(a, a), by(a2, a2)], &rules, &[]), Reason::SignaturesTooFew);
        assert_eq!(met(TEXT, &[by(a, a), by(a2, a2), by(b, b)], &rules, &[]).unwrap().signers.len(), 3);
    }

    /// T23, T32: the approver is another person than the one who releases, and a missing role is named.
    #[test]
    fn rules_together_take_different_people() {
        let [a, a2, b, c] = &keys(4)[..] else { panic!() };
        let rules = [
            rule("release", 1, &[(a, "alice"), (b, "bob")]),
            rule("approver", 1, &[(a2, "alice"), (c, "carol")]),
        ];
        let alone = met(TEXT, &[by(a, a)], &rules, &[]).unwrap_err();
        assert_eq!(alone.reason, Reason::SignaturesTooFew);
        assert!(alone.message.contains("approver"), "{alone}");
        assert_eq!(reason(&[by(a, a), by(a2, a2)], &rules, &[]), Reason::SignaturesTooFew);
        assert!(met(TEXT, &[by(a, a), by(c, c)], &rules, &[]).is_ok());
        // Alice signed for both: bob released, so that she may count as the approver.
        assert!(met(TEXT, &[by(a, a), by(a2, a2), by(b, b)], &rules, &[]).is_ok());
    }

    /// T04: a threshold of nothing is never met, and no rules are no permission.
    #[test]
    fn nothing_asked_is_nothing_met() {
        let [a] = &keys(1)[..] else { panic!() };
        assert_eq!(
            reason(&[by(a, a)], &[rule("release", 0, &[(a, "alice")])], &[]),
            Reason::SignaturesTooFew
        );
        assert!(met(TEXT, &[by(a, a)], &[], &[]).is_err());
    }
}
