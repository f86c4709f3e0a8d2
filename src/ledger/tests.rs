//! P25: whatever is done to a ledger is found, and named (R20, R21).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{Event, Head, KeyAction, OffHost, Record, Text, append, audit, checkpoint};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failures, Reason},
    },
    trust::{Algorithm, PrivateKey, PublicKey, Signer},
};

/// A ledger under construction.
#[derive(Clone)]
struct Ledger {
    lines: Vec<String>,
    head: Head,
}

impl Ledger {
    fn new() -> Self {
        Self { lines: vec![], head: Head::start().unwrap() }
    }

    fn add(&mut self, event: &Event) {
        let time = Timestamp::from_seconds(1_795_219_200 + self.head.number).unwrap();
        let (line, head) = append(&self.head, time, event).unwrap();
        self.lines.push(line);
        self.head = head;
    }

    fn seal(&mut self, key: &dyn Signer) {
        self.add(&checkpoint(&self.head, "berlin", key).unwrap());
    }

    /// `count` records, a checkpoint after every `pace` of them.
    fn of(count: u64, pace: u64, key: &PrivateKey) -> Self {
        let mut ledger = Self::new();
        ledger.add(&created(key));
        while ledger.head.number < count {
            if ledger.head.number % pace == pace - 1 {
                ledger.seal(key);
            } else {
                ledger.add(&beacon(ledger.head.number));
            }
        }
        ledger
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate(Algorithm::Ed25519).unwrap()
}

fn created(key: &PrivateKey) -> Event {
    new_key(key, KeyAction::Created, None)
}

fn new_key(key: &PrivateKey, action: KeyAction, replaces: Option<&PrivateKey>) -> Event {
    Event::Key {
        key_id: key.public().key_id().into(),
        purpose: "importer".into(),
        action,
        public_key: Some(key.public().to_pem().unwrap()),
        replaces: replaces.map(|old| old.public().key_id().into()),
    }
}

fn beacon(sequence: u64) -> Event {
    let bundle = Digest::of(&sequence.to_le_bytes());
    Event::Beacon { channel: "prod".into(), epoch: 1, sequence, bundle }
}

fn refusal(receipt: Option<Digest>) -> Event {
    let [action, reason, object, message] = ["import", "rollback", "channel prod", "…"].map(Text::new);
    Event::Refusal { action, bundle: None, reason, code: 6, object, message, receipt }
}

fn reason_of<T: std::fmt::Debug>(result: Result<T, Failures>) -> (Reason, String) {
    let failures = result.unwrap_err();
    let first = &failures.list()[0];
    (first.reason, first.object.clone())
}

fn found(lines: &[String], keys: &[PublicKey], heads: &[OffHost]) -> (Reason, String) {
    reason_of(audit(lines, keys, heads))
}

fn record(number: usize) -> String {
    format!("record {number}")
}

fn known(number: usize, lines: &[String]) -> OffHost {
    let head = Head::of(number as u64, &lines[number - 1]);
    OffHost { from: "receipt".to_owned(), head, receipt: None }
}

/// The line with another event, its links untouched.
fn altered(line: &str, change: impl FnOnce(&mut Record)) -> String {
    let mut record = Record::parse(line).unwrap();
    change(&mut record);
    record.line().unwrap()
}

/// Makes the chain hold again from line `from` on, as somebody who can write the whole file would.
fn rechained(lines: &mut [String], from: usize, renumber: bool) {
    for at in from..lines.len() {
        let previous =
            if at == 0 { Head::start().unwrap().hash } else { Digest::of(lines[at - 1].as_bytes()) };
        lines[at] = altered(&lines[at], |record| {
            record.previous = previous.clone();
            if renumber {
                record.number = at as u64 + 1;
            }
            if let Event::Checkpoint { signed, hash, .. } = &mut record.event {
                (*signed, *hash) = (record.number.saturating_sub(1), previous);
            }
        });
    }
}

const RECORDS: usize = 1000;
const PACE: usize = 10;

/// Every place of a small log; from the beginning to the end of one of 1,000 records, where each step costs a pass
/// over it: checkpoints, records between them, and the last ones.
#[test]
fn every_manipulation_is_named() {
    sweep(60, |_| true);
    sweep(RECORDS, |at| at % 97 == 9 || at + 4 > RECORDS);
}

/// Each kind of manipulation; at every other place a head from elsewhere is known.
fn sweep(count: usize, is_place: fn(usize) -> bool) {
    let key = key();
    let ledger = Ledger::of(count as u64, PACE as u64, &key);
    let keys = [key.public().clone()];
    let good = &ledger.lines;
    let whole = audit(good, &keys, &[known(count, good), known(1, good), known(count / 2, good)]).unwrap();
    assert_eq!((whole.head, whole.sealed), (ledger.head.clone(), count as u64 - 1));
    assert_eq!(whole.events["checkpoint"], (count / PACE) as u64);

    let other = beacon(99_999);
    for at in (0..count).filter(|at| is_place(*at)) {
        let heads = if at % 2 == 0 { vec![] } else { vec![known(count, good)] };
        let check = |lines: &[String], reason: Reason, number: usize, what: &str| {
            let expected = (reason, record(number));
            assert_eq!(found(lines, &keys, &heads), expected, "{what} at record {}", at + 1);
        };
        let last = at == count - 1;
        // Edited: other content, other number, other link; and no record any more.
        if !last {
            let mut lines = good.clone();
            lines[at] = altered(&lines[at], |record| record.event = other.clone());
            check(&lines, Reason::LedgerEdited, at + 1, "content");
        }
        let mut lines = good.clone();
        lines[at] = altered(&lines[at], |record| record.number += 1);
        check(&lines, Reason::LedgerEdited, at + 1, "number");
        let mut lines = good.clone();
        lines[at] = altered(&lines[at], |record| record.previous = Digest::of(b"x"));
        check(&lines, Reason::LedgerEdited, at + 1, "link");
        let mut lines = good.clone();
        lines[at].push(' ');
        check(&lines, Reason::LedgerMalformed, at + 1, "form");
        let mut lines = good.clone();
        lines[at].truncate(40);
        check(&lines, Reason::LedgerMalformed, at + 1, "cut line");
        // Inserted: with all that fits, with nothing that fits, a copy; with the rest numbered anew.
        let insert = |record: Record, what: &str| {
            let mut lines = good.clone();
            lines.insert(at, record.line().unwrap());
            check(&lines, Reason::LedgerInserted, at + 1, what);
            for (shift, line) in lines.iter_mut().enumerate().skip(at + 1) {
                *line = altered(line, |record| record.number = shift as u64 + 1);
            }
            if at < count - 3 {
                check(&lines, Reason::LedgerInserted, at + 1, &format!("{what}, renumbered"));
            }
        };
        let mut new = Record::parse(&good[at]).unwrap();
        new.event = other.clone();
        insert(new.clone(), "inserted record that fits");
        new.previous = Digest::of(b"x");
        insert(new, "inserted record that does not fit");
        if at > 3 {
            let mut lines = good.clone();
            lines.insert(at, good[at - 3].clone());
            check(&lines, Reason::LedgerInserted, at + 1, "copy");
        }
        // Deleted: one, several; with the gap closed by number, by link, by both but the rest.
        for gone in [1, 5] {
            if at + gone >= count {
                continue;
            }
            let mut lines = good.clone();
            lines.drain(at..at + gone);
            check(&lines, Reason::LedgerDeleted, at + 1, "deleted");
            if at + gone < count - 3 {
                let mut linked = lines.clone();
                rechained(&mut linked[..=at], at, false);
                check(&linked, Reason::LedgerDeleted, at + 1, "deleted, then linked");
                let mut linked = lines.clone();
                rechained(&mut linked, at, false);
                check(&linked, Reason::LedgerDeleted, at + 1, "deleted, then all linked");
                if at > 0 {
                    for (shift, line) in lines.iter_mut().enumerate().skip(at) {
                        *line = altered(line, |record| record.number = shift as u64 + 1);
                    }
                    check(&lines, Reason::LedgerDeleted, at + 1, "deleted, then numbered");
                }
            }
        }
        // Reordered: neighbours, far ones, blocks.
        for distance in [1, 2, 50] {
            if at + distance < count {
                let mut lines = good.clone();
                lines.swap(at, at + distance);
                check(&lines, Reason::LedgerReordered, at + 1, "swapped");
                let mut lines = good.clone();
                lines[at..=at + distance].rotate_left(1);
                check(&lines, Reason::LedgerReordered, at + 1, "moved");
            }
        }
    }
}

/// The tail can only be missed by who has seen it.
#[test]
fn a_cut_tail_and_a_fork_need_a_head_from_elsewhere() {
    let key = key();
    let ledger = Ledger::of(RECORDS as u64, PACE as u64, &key);
    let keys = [key.public().clone()];
    for cut in [0, 1, 2, 9, 10, 500, 998, 999] {
        let lines = &ledger.lines[..cut];
        let head = known(RECORDS, &ledger.lines);
        assert_eq!(found(lines, &keys, &[head]), (Reason::LedgerCut, record(cut + 1)));
        let heads = if cut > 0 { vec![known(cut, &ledger.lines)] } else { vec![] };
        if cut % PACE == 0 {
            // A limit, not a feature: without anything from elsewhere the shorter ledger is whole. A head that
            // still stands in it says nothing about what came later.
            assert_eq!(audit(lines, &keys, &[]).unwrap().head.number, cut as u64);
            assert!(audit(lines, &keys, &heads).is_ok());
        } else {
            let open = (Reason::LedgerCheckpoint, record(cut / PACE * PACE + 1));
            assert_eq!(found(lines, &keys, &[]), open);
            assert_eq!(found(lines, &keys, &heads), open);
            assert_eq!(found(lines, &[], &[]), open, "nobody needs a key to see that one is missing");
        }
        // Cut, and then gone on: by the site itself, with the right key.
        let head = if cut == 0 { Head::start().unwrap() } else { Head::of(cut as u64, &lines[cut - 1]) };
        let mut fork = Ledger { lines: lines.to_vec(), head };
        while fork.lines.len() < RECORDS {
            fork.add(&refusal(None));
            fork.seal(&key);
        }
        assert!(audit(&fork.lines, &keys, &[]).is_ok());
        let late = known(RECORDS, &ledger.lines);
        assert_eq!(
            found(&fork.lines, &keys, std::slice::from_ref(&late)),
            (Reason::LedgerFork, record(RECORDS))
        );
        if cut > 0 {
            let early = known(cut, &ledger.lines);
            assert!(audit(&fork.lines, &keys, std::slice::from_ref(&early)).is_ok());
            assert_eq!(found(&fork.lines, &keys, &[early, late]).0, Reason::LedgerFork);
        }
    }
}

/// A head of before a loss is not found again; the record of the loss is named, and is no excuse.
#[test]
fn a_ledger_that_began_anew_says_so() {
    let key = key();
    let before = Ledger::of(20, 10, &key);
    let mut anew = Ledger::new();
    anew.add(&created(&key));
    anew.add(&Event::Reseeded { receipt: Digest::of(b"receipt"), ledger: before.head.clone() });
    anew.seal(&key);
    let heads = [OffHost { from: "a file".to_owned(), head: before.head, receipt: None }];
    let failures = audit(&anew.lines, &[key.public().clone()], &heads).unwrap_err();
    let failure = &failures.list()[0];
    assert_eq!(failure.reason, Reason::LedgerCut);
    assert!(failure.hint.as_ref().unwrap().starts_with("record 2 says"), "{failure:?}");
}

/// A receipt says where the ledger stood before it: the record of the receipt itself must follow.
#[test]
fn the_record_of_a_receipt_is_missed() {
    let (key, receipt) = (key(), Digest::of(b"receipt"));
    let mut ledger = Ledger::of(20, 10, &key);
    let head = ledger.head.clone();
    let before = ledger.clone();
    ledger.add(&refusal(Some(receipt.clone())));
    ledger.seal(&key);
    let heads = [OffHost { from: "receipt".to_owned(), head, receipt: Some(receipt) }];
    let keys = [key.public().clone()];
    assert!(audit(&ledger.lines, &keys, &heads).is_ok());
    assert_eq!(found(&before.lines, &keys, &heads), (Reason::LedgerCut, record(21)));
    let mut fork = before;
    fork.add(&refusal(Some(Digest::of(b"another"))));
    assert_eq!(found(&fork.lines, &keys, &heads), (Reason::LedgerFork, record(21)));
}

/// Whoever can write the whole file makes a chain that holds; the next checkpoint does not.
#[test]
fn a_rewritten_ledger_fails_at_the_next_checkpoint() {
    let (key, stranger) = (key(), self::key());
    let ledger = Ledger::of(60, PACE as u64, &key);
    let keys = [key.public().clone()];
    for at in (1..60).filter(|at| at % 10 != 9) {
        let (last, next) = (at / PACE * PACE, at / PACE * PACE + PACE);
        let expected = (Reason::LedgerCheckpoint, record(next));
        let mut edited = ledger.lines.clone();
        edited[at] = altered(&edited[at], |record| record.event = beacon(99_999));
        rechained(&mut edited, at + 1, true);
        let failures = audit(&edited, &keys, &[]).unwrap_err();
        assert_eq!((failures.list()[0].reason, failures.list()[0].object.clone()), expected);
        let from = if last == 0 { "the beginning".to_owned() } else { format!("checkpoint {last}") };
        assert!(failures.list()[0].message.contains(&format!("between {from} and checkpoint {next}")));
        let mut deleted = ledger.lines.clone();
        deleted.remove(at);
        rechained(&mut deleted, at, true);
        assert_eq!(found(&deleted, &keys, &[]), (Reason::LedgerCheckpoint, record(next - 1)));
        let mut inserted = ledger.lines.clone();
        inserted.insert(at, altered(&inserted[at], |record| record.event = beacon(99_999)));
        rechained(&mut inserted, at, true);
        assert_eq!(found(&inserted, &keys, &[]), (Reason::LedgerCheckpoint, record(next + 1)));
        // The same without anybody to believe: the ledger names its key itself, and that is worth something.
        assert_eq!(found(&edited, &[], &[]), expected);
        // Behind the last checkpoint nothing stands: every change of a site ends with one.
        let mut tail = ledger.lines[..next - 1].to_vec();
        tail[at] = edited[at].clone();
        rechained(&mut tail, at + 1, true);
        assert_eq!(found(&tail, &keys, &[]), (Reason::LedgerCheckpoint, record(last + 1)));
        if at < next - 2 {
            let head = known(next - 1, &ledger.lines);
            assert_eq!(found(&tail, &keys, &[head]).0, Reason::LedgerFork);
        }
    }
    // Rewritten from the first record on, and signed with a key that it brings along.
    let forged = Ledger::of(60, PACE as u64, &stranger);
    assert_eq!(found(&forged.lines, &keys, &[]), (Reason::LedgerCheckpoint, record(10)));
    assert_eq!(audit(&forged.lines, &[], &[]).unwrap().sealed, 0);
    // A good ledger that a stranger goes on with.
    let mut longer = ledger;
    longer.add(&created(&stranger));
    longer.seal(&stranger);
    assert_eq!(found(&longer.lines, &keys, &[]), (Reason::LedgerCheckpoint, record(62)));
}

/// A checkpoint signs its place: moved, doubled or of another site it does not hold.
#[test]
fn a_checkpoint_holds_where_it_stands() {
    let key = key();
    let keys = [key.public().clone()];
    let mut ledger = Ledger::of(12, 100, &key);
    let seal = checkpoint(&ledger.head, "berlin", &key).unwrap();
    ledger.add(&seal);
    assert!(audit(&ledger.lines, &keys, &[]).is_ok());
    let mut again = ledger.clone();
    again.add(&seal);
    assert_eq!(found(&again.lines, &keys, &[]), (Reason::LedgerCheckpoint, record(14)));
    let change = |change: &dyn Fn(&mut Text, &mut String)| {
        let mut wrong = ledger.clone();
        wrong.lines[12] = altered(&wrong.lines[12], |record| {
            let Event::Checkpoint { site, signature, .. } = &mut record.event else { panic!() };
            change(site, signature);
        });
        assert_eq!(found(&wrong.lines, &keys, &[]), (Reason::LedgerCheckpoint, record(13)));
    };
    change(&|site, _| *site = "paris".into());
    change(&|site, _| *site = "berlin\nnumber=12".into());
    change(&|_, signature| signature.clear());
    change(&|_, signature| *signature = STANDARD.encode(key.sign(b"sealift")));
    change(&|_, signature| signature.push('='));
    assert!(checkpoint(&ledger.head, "no\nname", &key).is_err());
}

/// A new key counts once the old one has signed that it hands over; or because the auditor knows it.
#[test]
fn a_key_hands_over_to_the_next() {
    let (old, new) = (key(), PrivateKey::generate(Algorithm::EcdsaP256).unwrap());
    let trusted = |keys: &[&PrivateKey]| keys.iter().map(|key| key.public().clone()).collect::<Vec<_>>();
    let mut ledger = Ledger::of(20, 10, &old);
    ledger.add(&new_key(&new, KeyAction::Replaced, Some(&old)));
    let mut grabbed = ledger.clone();
    ledger.seal(&old);
    let handed_over = ledger.clone();
    ledger.seal(&new);
    for keys in [&[&old][..], &[&new], &[&old, &new]] {
        let whole = audit(&ledger.lines, &trusted(keys), &[]).unwrap();
        assert_eq!((whole.sealed, whole.sites.as_slice()), (22, &["berlin".to_owned()][..]));
    }
    // Not handed over: fine for who knows the new key, not for who knows the old one only.
    grabbed.seal(&new);
    assert!(audit(&grabbed.lines, &trusted(&[&new]), &[]).is_ok());
    assert_eq!(found(&grabbed.lines, &trusted(&[&old]), &[]), (Reason::LedgerCheckpoint, record(22)));
    // Once it has handed over, the old key signs no more.
    let mut back = handed_over;
    back.seal(&old);
    assert_eq!(found(&back.lines, &trusted(&[&old]), &[]).0, Reason::LedgerCheckpoint);
    // A record that gives one key the name of another.
    let mut lying = Ledger::new();
    let Event::Key { key_id, .. } = new_key(&old, KeyAction::Created, None) else { panic!() };
    let mut event = new_key(&new, KeyAction::Created, None);
    if let Event::Key { key_id: id, .. } = &mut event {
        *id = key_id;
    }
    lying.add(&event);
    assert_eq!(found(&lying.lines, &[], &[]), (Reason::LedgerCheckpoint, record(1)));
}

/// R21: nothing from outside breaks a line, or shows as something else on a terminal; and it is bounded.
#[test]
fn hostile_text_stays_in_its_line() {
    let mut ledger = Ledger::new();
    let key = key();
    for text in [
        "a\r\n{\"number\":9}",
        "\u{1b}[31m\u{202e}\u{2028}\u{7f}\u{9b}\u{e0041}",
        "\"\\\0",
        &"ü".repeat(9999),
    ] {
        ledger.add(&Event::Beacon { channel: text.into(), epoch: 1, sequence: 1, bundle: Digest::of(b"") });
        let line = ledger.lines.last().unwrap();
        assert!(line.chars().all(crate::base::text::is_plain), "{line}");
        let Event::Beacon { channel, .. } = Record::parse(line).unwrap().event else { panic!() };
        assert!(channel.get() == text || channel.get().chars().count() == 200);
    }
    ledger.seal(&key);
    assert_eq!(audit(&ledger.lines, &[], &[]).unwrap().head, ledger.head);
}

/// One record has one form: every other text for the same is none.
#[test]
fn hostile_json_is_no_record() {
    let mut ledger = Ledger::new();
    ledger.add(&beacon(7));
    let good = ledger.lines[0].clone();
    assert!(Record::parse(&good).is_ok());
    for (from, to) in [
        ("{\"number\"", "{ \"number\""),
        ("\"number\":1", "\"number\":1.0"),
        ("\"number\":1", "\"number\":01"),
        ("\"number\":1", "\"number\":-1"),
        ("\"number\":1", "\"number\":1,\"number\":1"),
        ("\"number\":1", "\"number\":\"1\""),
        ("\"sequence\":7", "\"sequence\":7,\"sequence\":8"),
        ("\"sequence\":7", "\"sequence\":7,\"more\":8"),
        ("\"sequence\":7", "\"sequence\":18446744073709551616"),
        ("\"sequence\":7,", ""),
        ("\"beacon\"", "\"Beacon\""),
        ("\"beacon\"", "\"nothing\""),
        ("\"prod\"", "\"pr\\u006fd\""),
        ("\"prod\"", "null"),
        ("\"prod\"", &format!("\"{}\"", "x".repeat(201))),
        ("sha256:", "SHA256:"),
        ("\"previous\":\"0", "\"previous\":\"sha256:0"),
        ("2026", "26"),
        ("}", "}\n"),
        ("}", "}{}"),
        ("}", ""),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good, "{to}");
        assert_eq!(Record::parse(&wrong).unwrap_err().reason, Reason::LedgerMalformed, "{to}");
    }
    for wrong in
        [String::new(), "[".repeat(20_000), "{\"a\":".repeat(5_000), "x".repeat(40_000), "null".to_owned()]
    {
        assert_eq!(Record::parse(&wrong).unwrap_err().reason, Reason::LedgerMalformed);
    }
}

/// The numbers of a ledger from elsewhere are anything that 64 bits hold, also in heads and checkpoints.
#[test]
fn the_largest_numbers_are_numbers() {
    let key = key();
    let good = Ledger::of(20, 10, &key).lines;
    let keys = [key.public().clone()];
    let far = |number: u64| OffHost {
        from: "receipt".to_owned(),
        head: Head { number, hash: Digest::of(b"x") },
        receipt: Some(Digest::of(b"y")),
    };
    for number in [0, u64::MAX - 1, u64::MAX] {
        for at in [0, 9, 19] {
            for count in 1..=3 {
                let mut lines = good.clone();
                for line in lines.iter_mut().skip(at).take(count) {
                    *line = altered(line, |record| record.number = number);
                }
                assert_eq!(found(&lines, &keys, &[far(number)]), (Reason::LedgerEdited, record(at + 1)));
                // The same, with links that hold: nothing before them is to be seen.
                rechained(&mut lines, at, false);
                assert_eq!(found(&lines, &keys, &[far(number)]).1, record(at + 1), "{number} at {at}");
            }
        }
        let reason = if number == 0 { Reason::LedgerFork } else { Reason::LedgerCut };
        assert_eq!(found(&good, &keys, &[far(number)]).0, reason);
        let mut checkpoint = good.clone();
        checkpoint[19] = altered(&checkpoint[19], |record| {
            let Event::Checkpoint { signed, .. } = &mut record.event else { panic!() };
            *signed = number;
        });
        assert_eq!(found(&checkpoint, &keys, &[]), (Reason::LedgerCheckpoint, record(20)));
    }
}

#[test]
fn a_head_is_one_line() {
    let head = Ledger::of(3, 10, &key()).head;
    assert_eq!(format!("{head}\n").parse::<Head>().unwrap(), head);
    assert_eq!(format!("head {head}\n").parse::<Head>().unwrap(), head);
    for wrong in ["", "3", "3 abc", "03 0000000000000000000000000000000000000000000000000000000000000000"] {
        assert_eq!(wrong.parse::<Head>().unwrap_err().reason, Reason::BadArgument, "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever two steps are done to it: it is found, or nothing is different.
    #[test]
    fn no_change_goes_unseen(steps in prop::collection::vec((0_u8..6, 0_usize..40, 0_usize..40), 1..4)) {
        let key = key();
        let ledger = Ledger::of(40, 8, &key);
        let mut lines = ledger.lines.clone();
        for (what, at, other) in steps {
            if lines.is_empty() { break }
            let (at, other) = (at % lines.len(), other % lines.len());
            match what {
                0 => { lines.remove(at); }
                1 => lines.swap(at, other),
                2 => { let line = lines[other].clone(); lines.insert(at, line); }
                3 => if let Ok(record) = Record::parse(&lines[at]) {
                    lines[at] = altered(&record.line().unwrap(), |record| record.event = beacon(other as u64 + 50));
                },
                4 => if let Ok(record) = Record::parse(&lines[at]) {
                    lines[at] = altered(&record.line().unwrap(), |record| record.number = other as u64);
                },
                _ => { let half = lines[at].len() / 2; lines[at].truncate(half); }
            }
        }
        let heads = [known(40, &ledger.lines)];
        let whole = audit(&lines, &[key.public().clone()], &heads).is_ok();
        prop_assert_eq!(whole, lines == ledger.lines);
    }

    /// What is appended can be read back, whatever the text.
    #[test]
    fn every_text_comes_back(text in ".*") {
        let mut ledger = Ledger::new();
        ledger.add(&Event::Beacon { channel: text.as_str().into(), epoch: 0, sequence: u64::MAX, bundle: Digest::of(b"") });
        let record = Record::parse(&ledger.lines[0]).unwrap();
        prop_assert_eq!(record.line().unwrap(), ledger.lines[0].clone());
    }
}
