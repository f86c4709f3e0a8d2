//! P10: whatever comes, in whatever order, a channel never goes back and never moves on a failure.

use proptest::prelude::*;

use super::*;

/// Something that happens to a site.
#[derive(Debug, Clone)]
enum Step {
    /// A bundle of this sequence, the usual one or its twin, signed by enough people or not, whole or damaged.
    Import { sequence: u64, twin: bool, signed: bool, whole: bool },
    /// An override for a bundle.
    Override { sequence: u64, twin: bool, effect: usize },
    /// The process ends and begins.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let likely = || prop::bool::weighted(0.85);
    prop_oneof![
        8 => (1u64..7, prop::bool::weighted(0.2), likely(), likely())
            .prop_map(|(sequence, twin, signed, whole)| Step::Import { sequence, twin, signed, whole }),
        2 => (1u64..7, any::<bool>(), 0usize..2)
            .prop_map(|(sequence, twin, effect)| Step::Override { sequence, twin, effect }),
        1 => Just(Step::Reopen),
    ]
}

/// Every bundle that a step can name, made once.
struct Bundles {
    world: World,
    made: BTreeMap<(u64, bool, bool, bool), PathBuf>,
}

impl Bundles {
    fn new() -> Self {
        let mut world = World::new();
        let mut made = BTreeMap::new();
        for sequence in 1..7 {
            for (twin, signed, whole) in [false, true]
                .iter()
                .flat_map(|a| [false, true].map(move |b| (*a, b)))
                .flat_map(|(a, b)| [false, true].map(move |c| (a, b, c)))
            {
                let content = if twin { "twin" } else { "content" };
                let signers: &[&str] = if signed { &["alice", "bob"] } else { &["alice"] };
                let bundle = world.bundle(&Spec { content, signers, ..spec(sequence) });
                if !whole {
                    let volume = bundle.join("volumes/0001.tar.zst");
                    let mut bytes = fs::read(&volume).unwrap();
                    bytes[40] ^= 1;
                    fs::write(&volume, bytes).unwrap();
                }
                made.insert((sequence, twin, signed, whole), bundle);
            }
        }
        Self { world, made }
    }
}

#[test]
fn no_order_of_bundles_takes_a_channel_back() {
    let bundles = Bundles::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = std::cell::Cell::new(0);
    let steps = prop::collection::vec(step(), 1..14);
    runner
        .run(&steps, |steps| {
            run.set(run.get() + 1);
            let mut site = bundles.world.site_with(&format!("run-{}", run.get()), 1);
            let name = format!("run-{}", run.get());
            let mut records = site.store().ledger_head().unwrap().number;
            for step in steps {
                let before = (last(&site), visible(&site));
                match step {
                    Step::Import { sequence, twin, signed, whole } => {
                        let bundle = &bundles.made[&(sequence, twin, signed, whole)];
                        match import(&site, bundle) {
                            Ok(done) => {
                                prop_assert!(signed && whole);
                                stands_at(&site, sequence, bundle);
                                let went_back = before.0.is_some_and(|last| sequence < last.sequence);
                                let lifted = done.verdict.judgement.lifted;
                                prop_assert!(!went_back || lifted.contains(&Effect::Rollback));
                            }
                            Err(refusal) => {
                                prop_assert!([4, 5, 6].contains(&refusal.failures.code()));
                                prop_assert!((last(&site), visible(&site)) == before);
                            }
                        }
                    }
                    Step::Override { sequence, twin, effect } => {
                        let effect = [Effect::Rollback, Effect::Equivocation][effect];
                        let bundle = &bundles.made[&(sequence, twin, true, true)];
                        let order = bundles.world.override_for(&name, bundle, effect, &["carol", "dave"]);
                        // The same text twice is one order: used up, or known.
                        let _either = site.accept(&[order]);
                        prop_assert!((last(&site), visible(&site)) == before);
                    }
                    Step::Reopen => {
                        let home = site.store().home().to_owned();
                        drop(site);
                        site = Site::new(Store::open(&home).unwrap(), time(NOW));
                        prop_assert!((last(&site), visible(&site)) == before);
                    }
                }
                let head = site.store().ledger_head().unwrap().number;
                prop_assert!(head >= records);
                records = head;
            }
            events(&site);
            Ok(())
        })
        .unwrap();
}
