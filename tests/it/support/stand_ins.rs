//! Values that are new in each run of a session, and what a page shows in their place: the same for the same value,
//! another for another, the same in every run.

use sealift::base::digest::Digest;

/// The flag after which people type the digits that they were shown.
const FINGERPRINT: &str = "--fingerprint ";

/// Values of one kind, in the order in which they were first seen.
struct Kind {
    name: &'static str,
    seen: Vec<String>,
}

impl Kind {
    fn number(&mut self, value: &str) -> usize {
        self.seen.iter().position(|seen| seen == value).unwrap_or_else(|| {
            self.seen.push(value.to_owned());
            self.seen.len() - 1
        })
    }

    /// 64 digits that stand for the value of this number.
    fn stand_in(&self, number: usize) -> String {
        Digest::of(format!("{} {number}", self.name).as_bytes()).hex().to_owned()
    }
}

/// Those of one page.
pub(crate) struct StandIns {
    keys: Kind,
    /// Fingerprints, and digests of what hangs on keys.
    digests: Kind,
    /// Whether digests hang on keys, which they do where trust documents are signed.
    hang_on_keys: bool,
}

impl StandIns {
    pub(crate) fn of_page(text: &str) -> Self {
        let kind = |name| Kind { name, seen: Vec::new() };
        Self { keys: kind("key"), digests: kind("digest"), hang_on_keys: text.contains(FINGERPRINT) }
    }

    /// What the page shows where `said` was printed.
    pub(crate) fn shown(&mut self, said: &str) -> String {
        let said = self.keys(said);
        if self.hang_on_keys { self.digests(&said) } else { said }
    }

    /// What to run where the page has `command`: digits that a page shows are typed as they are in this run.
    pub(crate) fn typed(&self, command: &str) -> String {
        let Some((before, rest)) = command.split_once(FINGERPRINT) else { return command.to_owned() };
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        let of_page =
            |number: &usize| !digits.is_empty() && self.digests.stand_in(*number).starts_with(digits);
        let meant = (0..self.digests.seen.len()).find(of_page);
        let digits = meant.map_or(digits, |number| &self.digests.seen[number][..digits.len()]);
        format!("{before}{FINGERPRINT}{digits}{rest}")
    }

    /// Ids of keys: words of 32 hex digits. Lists are sorted by id, which is another order in each run; here they
    /// stand as they were first seen.
    fn keys(&mut self, said: &str) -> String {
        let is_id = |word: &&(usize, &str)| word.1.len() == 32 && is_hex(word.1);
        let words = words(said);
        let ids: Vec<&(usize, &str)> = words.iter().filter(is_id).collect();
        let mut numbers: Vec<usize> = ids.iter().map(|(_, id)| self.keys.number(id)).collect();
        let mut first = 0;
        for at in 1..=ids.len() {
            let goes_on = ids.get(at).is_some_and(|(start, _)| {
                let before = ids[at - 1].0 + 32;
                is_list(&said[before..*start])
            });
            if !goes_on {
                numbers[first..at].sort_unstable();
                first = at;
            }
        }
        let new = ids
            .iter()
            .zip(numbers)
            .map(|((start, _), number)| (*start, self.keys.stand_in(number)[..32].to_owned()));
        replaced(said, new)
    }

    /// Words of 64 hex digits, the same in groups of four, and the beginnings of those that were seen.
    fn digests(&mut self, said: &str) -> String {
        let words = words(said);
        let mut new = Vec::new();
        let mut at = 0;
        while let Some((start, word)) = words.get(at) {
            let groups: Vec<&(usize, &str)> = words[at..].iter().take(16).collect();
            let apart = |two: &[&(usize, &str)]| said[two[0].0 + 4..two[1].0].trim().is_empty();
            if word.len() == 64 && is_hex(word) {
                let number = self.digests.number(word);
                new.push((*start, self.digests.stand_in(number)));
            } else if groups.len() == 16
                && groups.iter().all(|(_, group)| group.len() == 4 && is_hex(group))
                && groups.windows(2).all(apart)
            {
                let number = self.digests.number(&groups.iter().map(|(_, group)| *group).collect::<String>());
                let digits = self.digests.stand_in(number);
                new.extend(
                    groups
                        .iter()
                        .enumerate()
                        .map(|(n, (start, _))| (*start, digits[n * 4..][..4].to_owned())),
                );
                at += 15;
            } else if word.len() >= 8
                && let Some(number) = self.digests.seen.iter().position(|seen| seen.starts_with(word))
            {
                new.push((*start, self.digests.stand_in(number)[..word.len()].to_owned()));
            }
            at += 1;
        }
        replaced(said, new)
    }
}

/// The words of a text, each with where it begins.
fn words(text: &str) -> Vec<(usize, &str)> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word)).collect()
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether what stands between two ids makes a list of them.
fn is_list(between: &str) -> bool {
    between == ", "
        || between.strip_prefix('\n').is_some_and(|indent| ["", "signature"].contains(&indent.trim()))
}

/// The text with other words of the same length at some places.
fn replaced(text: &str, new: impl IntoIterator<Item = (usize, String)>) -> String {
    let mut text = text.to_owned();
    for (start, word) in new {
        text.replace_range(start..start + word.len(), &word);
    }
    text
}

#[test]
fn what_is_another_value_is_shown_as_another() {
    let [a, b] = ["a".repeat(32), "b".repeat(32)];
    let digits = "0123456789abcdef".repeat(4);
    let groups: Vec<&str> = (0..16).map(|n| &digits[n * 4..][..4]).collect();
    let mut page = StandIns::of_page("x --fingerprint 0");
    let first = page.shown(&format!("key {b}, of {a}"));
    let [shown_b, shown_a] =
        &words(&first).into_iter().map(|(_, word)| word).filter(|word| word.len() == 32).collect::<Vec<_>>()
            [..]
    else {
        panic!("{first}")
    };
    assert!(shown_a != shown_b && ![&a, &b].contains(&&(*shown_a).to_owned()));
    // Lists are in the order of appearance, and only lists.
    for list in [format!("{a}, {b}"), format!("{b}, {a}")] {
        assert_eq!(page.shown(&list), format!("{shown_b}, {shown_a}"));
    }
    assert_eq!(page.shown(&format!("by {a}\n   {b}\n")), format!("by {shown_b}\n   {shown_a}\n"));
    assert_eq!(page.shown(&format!("{a} and {b}")), format!("{shown_a} and {shown_b}"));
    // One value is the same in every form, and typed back as it was.
    let shown = page.shown(&format!(
        "{digits}\n{}\n  {} {}\n",
        &digits[..8],
        groups[..8].join(" "),
        groups[8..].join(" ")
    ));
    let whole = &shown[..64];
    assert_eq!(shown[65..].split_whitespace().collect::<String>(), format!("{}{whole}", &whole[..8]));
    assert_ne!(whole, digits);
    assert_eq!(
        page.typed(&format!("run --fingerprint {} -o x", &whole[..8])),
        format!("run --fingerprint {} -o x", &digits[..8])
    );
    // Where nothing hangs on keys, digests are what they are.
    assert_eq!(StandIns::of_page("").shown(&digits), digits);
}
