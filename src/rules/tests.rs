use super::*;

const RULES: &str = r#"
schema = 1
[[grant]]
to = ["anyone"]
repositories = ["docker.io/library/*"]
may = ["pull"]
[[grant]]
to = ["group:platform", "robot:ci"]
repositories = ["apps/**", "charts/*"]
may = ["pull", "push"]
[[grant]]
to = ["user:kim"]
repositories = ["**"]
may = ["admin", "delete", "tag"]
[[grant]]
to = ["authenticated"]
repositories = ["shared/**"]
may = ["pull"]
[[immutable]]
repositories = ["apps/**"]
tags = ["v*", "release-*"]
[[quota]]
repositories = ["apps/**"]
size = "50 GiB"
"#;

fn parse(text: &str) -> Rules {
    Rules::parse(text, Path::new("rules.toml")).unwrap()
}

fn subject(name: &str, groups: &[&str]) -> Subject {
    let name = match name.split_once(':') {
        Some(("user", name)) => Some(Name::User(name.to_owned())),
        Some((_, name)) => Some(Name::Robot(name.to_owned())),
        None => None,
    };
    Subject { name, groups: groups.iter().map(|&group| group.to_owned()).collect() }
}

#[test]
fn what_is_not_granted_is_denied() {
    let rules = parse(RULES);
    let (nobody, ci) = (Subject::anonymous(), subject("robot:ci", &[]));
    let (kim, lee) = (subject("user:kim", &["x"]), subject("user:lee", &["platform"]));
    for (who, right, repository, rule) in [
        (&nobody, Right::Pull, "docker.io/library/nginx", Some(1)),
        (&ci, Right::Pull, "docker.io/library/nginx", Some(1)),
        (&nobody, Right::Push, "docker.io/library/nginx", None),
        (&nobody, Right::Pull, "docker.io/library/a/b", None),
        (&nobody, Right::Pull, "apps/a", None),
        (&nobody, Right::Pull, "shared/a", None),
        (&ci, Right::Push, "apps/a/b", Some(2)),
        (&ci, Right::Delete, "apps/a/b", None),
        (&ci, Right::Tag, "apps/a/b", None),
        (&lee, Right::Push, "charts/x", Some(2)),
        (&lee, Right::Push, "charts/x/y", None),
        (&lee, Right::Pull, "shared/x", Some(4)),
        (&kim, Right::Delete, "anything/at/all", Some(3)),
        (&kim, Right::Pull, "apps/a", None),
        // Another kind of account of the same name, and a group that only somebody known is in.
        (&subject("robot:kim", &[]), Right::Delete, "x", None),
        (&subject("user:ci", &[]), Right::Push, "apps/a", None),
        (&subject("", &["platform"]), Right::Push, "apps/a", None),
    ] {
        let decision = rule.map_or(Decision::Denied, Decision::Granted);
        assert_eq!(rules.decide(who, right, repository), decision, "{who:?} {right:?} {repository}");
        assert_eq!(rules.reach(who, right).covers(repository), rule.is_some());
    }
    assert!(rules.reach(&nobody, Right::Delete).is_empty());
    assert_eq!(rules.reach(&lee, Right::Push).prefixes(), ["apps", "charts/"]);
    assert_eq!(rules.reach(&kim, Right::Tag).prefixes(), [""]);
}

#[test]
fn without_rules_everybody_pulls() {
    let rules = Rules::default();
    assert_eq!(rules, parse(rules.text()));
    let nobody = Subject::anonymous();
    for right in Right::ALL {
        let wanted = if right == Right::Pull { Decision::Granted(1) } else { Decision::Denied };
        assert_eq!(rules.decide(&nobody, right, "a/b"), wanted);
    }
}

#[test]
fn prefixes_name_each_place_once() {
    let rules = parse(
        "schema = 1\n[[grant]]\nto = [\"anyone\"]\nmay = [\"pull\"]\n\
         repositories = [\"b/**\", \"a*/x\", \"b/c/**\", \"ab\", \"b2\"]",
    );
    assert_eq!(rules.reach(&Subject::anonymous(), Right::Pull).prefixes(), ["a", "b"]);
}

/// R16
#[test]
fn tags_that_stay_and_those_of_signatures() {
    let rules = parse(RULES);
    let hex = "0".repeat(64);
    for (repository, tag, rule) in [
        ("apps/a", "v1", Some(1)),
        ("apps/a/b", "release-2", Some(1)),
        ("apps/a", "latest", None),
        ("other/a", "v1", None),
    ] {
        assert_eq!(rules.immutable(repository, tag), rule, "{repository}:{tag}");
    }
    let all = parse("schema = 1\n[[immutable]]\nrepositories = [\"**\"]\ntags = [\"*\"]");
    assert_eq!(all.immutable("a", "latest"), Some(1));
    for exempt in [format!("sha256-{hex}.sig"), format!("sha256-{hex}.att"), format!("sha512-{hex}")] {
        assert_eq!(all.immutable("a", &exempt), None);
    }
    assert_eq!(all.immutable("a", &format!("sha256-{hex}.old")), Some(1));
}

#[test]
fn every_fault_has_its_line() {
    let text = r#"schema = 1
[[grant]]
to = ["anione", "usr:kim", "user:", "anyone", "anyone"]
repositories = ["Apps/**", "sandbox/a"]
may = ["pul", "write"]
[[grants]]
[[grant]]
to = []
repository = ["a"]
may = ["pull"]
[[immutable]]
repositories = ["a"]
tags = ["v1/2"]
[[quota]]
repositories = ["a"]
size = "many"
[[grant]]
to = ["anyone"]
repositories = ["a"]
may = ["admin"]
[[quota]]
repositories = ["b", "a"]
size = "1"
[[quota]]
repositories = ["a", "b"]
size = "2"
"#;
    let failures = Rules::parse(text, Path::new("r.toml")).unwrap_err();
    let found: Vec<(&str, &str)> = failures
        .list()
        .iter()
        .map(|failure| (failure.object.as_str(), failure.hint.as_deref().unwrap_or_default()))
        .collect();
    let has = |place: &str, hint: &str| found.iter().any(|(at, said)| *at == place && said.contains(hint));
    for (place, hint) in [
        ("r.toml:3:7", "did you mean `anyone`?"),
        ("r.toml:3:17", "did you mean `user:kim`?"),
        ("r.toml:3:28", "1 to 128"),
        ("r.toml:3:47", "remove one of them"),
        ("r.toml:4:17", "small letters"),
        ("r.toml:4:28", "serve --sandbox"),
        ("r.toml:5:8", "did you mean `pull`?"),
        ("r.toml:5:15", "the rights are pull, push, tag, delete, admin"),
        ("r.toml:6:3", "did you mean `grant`?"),
        ("r.toml:7:1", "fill the list"),
        ("r.toml:9:1", "did you mean `repositories`?"),
        ("r.toml:13:9", "v*"),
        ("r.toml:16:8", "50 GiB"),
        ("r.toml:17:1", "accounts or groups that administer"),
        ("r.toml:24:1", "keep the smaller one"),
    ] {
        assert!(has(place, hint), "{place} {hint}\n{found:#?}");
    }
    assert_eq!(found.len(), 15, "{found:#?}");
}

#[test]
fn what_cannot_be_read_at_all() {
    let long =
        format!("schema = 1\n#{}", "x".repeat(usize::try_from(crate::base::limits::RULES_BYTES).unwrap()));
    let many = format!("schema = 1\n{}", "[[immutable]]\nrepositories=['a']\ntags=['a']\n".repeat(1001));
    let list = format!("schema = 1\n[[immutable]]\nrepositories=['a']\ntags=[{}]", "'a',".repeat(300));
    for wrong in ["", "schema = 2", "schema = 1\ngrant = 3", "schema = 1\n[grant]", "x", &long, &many, &list]
    {
        let failures = Rules::parse(wrong, Path::new("r.toml")).unwrap_err();
        assert!(
            failures.list().iter().all(|failure| failure.reason.text() == "rules-malformed"),
            "{failures:?}"
        );
    }
}

#[test]
fn a_difference_says_what_is_new_and_what_is_gone() {
    let said = |old: &Rules, new: &Rules| {
        let difference = Difference::between(old, new);
        [difference.added, difference.removed]
            .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (before, after) = (Rules::default(), parse(RULES));
    assert_eq!(said(&after, &after), [vec![], Vec::<String>::new()]);
    let [added, removed] = said(&before, &after);
    assert!(added.contains(&"robot:ci may push apps/**".to_owned()), "{added:?}");
    assert!(added.contains(&"tags v* of apps/** stay".to_owned()));
    assert!(added.contains(&"apps/** hold at most 50.0 GiB".to_owned()));
    // Everybody could pull it before.
    assert!(!added.iter().any(|line| line.contains("may pull")), "{added:?}");
    assert_eq!(removed, ["anyone may pull **"]);
    let narrower = parse(&RULES.replace("\"robot:ci\"", "\"robot:cd\""));
    assert_eq!(
        said(&after, &narrower),
        [
            [
                "robot:cd may pull apps/**",
                "robot:cd may pull charts/*",
                "robot:cd may push apps/**",
                "robot:cd may push charts/*"
            ],
            [
                "robot:ci may pull apps/**",
                "robot:ci may pull charts/*",
                "robot:ci may push apps/**",
                "robot:ci may push charts/*"
            ],
        ]
    );
}

/// X09: the most rules that are read, each as bad as a pattern can be, for a name that none of them matches.
#[test]
fn the_worst_rules_decide_in_no_time() {
    let bad = format!("{}b", "*a".repeat(80));
    let mut text = "schema = 1\n".to_owned();
    for number in 0..1000 {
        let right = ["'pull'", "'pull','push'"][number % 2];
        let grant = format!("[[grant]]\nto=['anyone']\nmay=[{right}]\nrepositories=['{bad}{number}']\n");
        text.push_str(&grant);
    }
    let rules = parse(&text);
    let name = "a".repeat(255);
    let before = std::time::Instant::now();
    assert_eq!(rules.decide(&Subject::anonymous(), Right::Pull, &name), Decision::Denied);
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
}

/// X09: rules whose lists say more together than can be compared are not read, and those that are read are compared soon.
#[test]
fn the_worst_difference_is_made_in_no_time() {
    let list = |what: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("'{what}{number}'")).collect();
        names.join(",")
    };
    let text = |kind: &str, holders: usize| {
        let (to, at) = (list("group:a", holders), list(kind, 100));
        format!("schema = 1\n[[grant]]\nto=[{to}]\nrepositories=[{at}]\nmay=['pull']\n")
    };
    let failures = Rules::parse(&text("a/", 101), Path::new("r")).unwrap_err();
    assert!(failures.worst().unwrap().message.contains("10100 things"));
    let (old, new) = (parse(&text("a/*/", 50)), parse(&text("b/*/", 50)));
    let before = std::time::Instant::now();
    let difference = Difference::between(&old, &new);
    assert_eq!((difference.added.len(), difference.removed.len()), (5000, 5000));
    assert!(before.elapsed().as_secs() < 30, "{:?}", before.elapsed());
}
