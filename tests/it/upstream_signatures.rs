//! `verify` of an image: who must have signed it upstream, before it enters a lock or a bundle (threats N15).

use std::path::Path;

use sealift::{
    cosign::{self, Signatures},
    oci::{Descriptor, Document, media_type},
    trust::{Algorithm, PrivateKey},
};
use serde_json::{Value, json};

use crate::support::{
    sandbox::{Ran, Sandbox},
    upstream::{Content, Upstream},
};

const VERIFY: &str = "[[images]]\nimage = \"HOST/team/app:1\"\nverify = { keys = [\"keys/vendor.pub\"] }\n";

struct World {
    upstream: Upstream,
    sandbox: Sandbox,
    vendor: PrivateKey,
    image: Descriptor,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let public = sandbox.run(&["key", "generate", "-o", "release.key", "--no-passphrase"]).ok().stdout;
        sandbox.write("release.pub", public);
        let vendor = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        std::fs::create_dir(sandbox.path("keys")).unwrap();
        sandbox.write("keys/vendor.pub", vendor.public().to_pem().unwrap());
        let upstream = Upstream::start();
        let image = {
            let mut content = upstream.content();
            let image = content.image("linux/amd64", &["app"]);
            content.tag("team/app", "1", &image);
            Descriptor { platform: None, ..image }
        };
        Self { upstream, sandbox, vendor, image }
    }

    fn manifest(&self, entries: &str) {
        let text = format!("[bundle]\nname = \"test\"\nversion = \"1\"\n{entries}");
        self.sandbox.write("sealift.toml", text.replace("HOST", &self.upstream.host()));
    }

    fn json(&self, arguments: &[&str]) -> Ran {
        self.sandbox.run(&[&["--output", "json"], arguments].concat())
    }

    fn build(&self) -> Ran {
        self.json(&["build", "--key", "release.key", "-o", "media"])
    }

    /// Signs the image upstream by `key`: the legacy form, or a bundle.
    fn sign(&self, key: &PrivateKey, form: cosign::Form) -> Descriptor {
        let signatures = Signatures::new(key).unwrap();
        let made = match form {
            cosign::Form::Legacy => signatures.legacy(&self.image.digest, "team/app", None),
            cosign::Form::Bundle => signatures.referrer(&self.image),
        };
        let made = made.unwrap();
        let mut content = self.upstream.content();
        put(&mut content, &made);
        if form == cosign::Form::Legacy {
            content.tag("team/app", &cosign::tag(&self.image.digest), &made.root);
        }
        made.root
    }

    fn evidence(&self) -> Value {
        serde_json::from_str(&self.sandbox.read("media/test-1/evidence/signatures.json")).unwrap()
    }
}

fn put(content: &mut Content, made: &cosign::Made) {
    for (descriptor, bytes) in &made.contents {
        if descriptor.digest == made.root.digest {
            let Document::Image(_) = &made.document else { panic!("an image") };
            content.document(&descriptor.media_type, bytes);
        } else {
            content.blob(&descriptor.media_type, bytes);
        }
    }
}

#[test]
fn unsigned_and_wrongly_signed_images_enter_no_lock_and_no_bundle() {
    let world = World::new();
    world.manifest(VERIFY);
    let no_lock = || assert!(!Path::new(&world.sandbox.path("sealift.lock")).exists());
    world.json(&["lock"]).refused(5, "upstream-unsigned");
    no_lock();
    world.build().refused(5, "upstream-unsigned");
    no_lock();
    let stranger = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    for form in [cosign::Form::Legacy, cosign::Form::Bundle] {
        world.sign(&stranger, form);
        world.json(&["lock"]).refused(5, "upstream-signature");
        world.build().refused(5, "upstream-signature");
    }
    no_lock();
    assert!(!world.sandbox.path("media/test-1").exists());
    // The vendor's beside the stranger's is enough.
    world.sign(&world.vendor, cosign::Form::Bundle);
    world.json(&["lock"]).ok();
    // A lock from before does not help: the key is asked for when it is used.
    let other = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    world.sandbox.write("keys/vendor.pub", other.public().to_pem().unwrap());
    world.json(&["build", "--locked", "--key", "release.key", "-o", "media"]).refused(2, "lock-outdated");
    world.build().refused(5, "upstream-signature");
}

#[test]
fn what_was_found_travels_as_evidence_with_the_signatures() {
    for form in [cosign::Form::Legacy, cosign::Form::Bundle] {
        let world = World::new();
        let signature = world.sign(&world.vendor, form);
        {
            let mut content = world.upstream.content();
            let plain = content.image("linux/amd64", &["plain"]);
            content.tag("team/plain", "1", &plain);
            let other = content.image("linux/amd64", &["other"]);
            content.tag("team/other", "1", &other);
            content.artifact("application/vnd.dev.sigstore.bundle.v0.3+json", Some(&other), "{}");
        }
        // Nothing else about the image is wanted; its signature is carried all the same.
        world.manifest(&format!(
            "{VERIFY}referrers = \"none\"\n[[images]]\nimage = \"HOST/team/plain:1\"\n\
             [[images]]\nimage = \"HOST/team/other:1\"\n"
        ));
        let built = world.build().json();
        let by = json!([{ "form": form.name(), "manifest": signature.digest, "key": world.vendor.public().key_id() }]);
        let name = |name: &str| format!("{}/team/{name}:1", world.upstream.host());
        let images = world.evidence()["images"].clone();
        assert_eq!(
            images[0],
            json!({ "name": name("app"), "digest": world.image.digest, "outcome": "verified",
                                      "signatures": 1, "by": by })
        );
        assert_eq!((&images[1]["outcome"], &images[1]["signatures"]), (&json!("not-checked"), &json!(1)));
        assert_eq!((&images[2]["outcome"], &images[2]["signatures"]), (&json!("unsigned"), &json!(0)));
        assert_eq!(built["upstream_signatures"], images);
        let inspected = world.json(&["inspect", "media/test-1"]).json();
        let verified = world.json(&["verify", "media/test-1", "--key", "release.pub"]).json();
        assert_eq!((&inspected["upstream_signatures"], &verified["upstream_signatures"]), (&images, &images));
        let shown = world.sandbox.run(&["verify", "media/test-1", "--key", "release.pub"]).ok().stdout;
        assert!(shown.contains("upstream signatures: 1 verified, 1 not checked, 1 unsigned"), "{shown}");
        // The same lock gives the same bundle; a second build asks upstream for nothing.
        world.upstream.forget();
        assert_eq!(world.build().json()["unchanged"], json!(true));
        assert_eq!(world.upstream.requests(), Vec::<String>::new());
    }
}

#[test]
fn a_layout_brings_the_signatures_that_lie_beside_the_image() {
    let world = World::new();
    let signatures = Signatures::new(&world.vendor).unwrap();
    let layout = world.sandbox.path("layout");
    let blob = |bytes: &[u8]| {
        let path = layout.join(Descriptor::of("x", bytes).digest.layout_path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let config = br#"{"os":"linux","architecture":"amd64"}"#;
    let image = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST,
                        "config": Descriptor::of(media_type::CONFIG, config), "layers": [] });
    let image = serde_json::to_vec(&image).unwrap();
    let root = Descriptor::of(media_type::MANIFEST, &image);
    blob(config);
    blob(&image);
    let legacy = signatures.legacy(&root.digest, "team/app", None).unwrap();
    let referrer = signatures.referrer(&root).unwrap();
    let with = |entry: &Descriptor, name: &str, value: &str| Descriptor {
        annotations: [(name.to_owned(), value.to_owned())].into(),
        ..entry.clone()
    };
    let listed = Descriptor {
        artifact_type: Some("application/vnd.dev.sigstore.bundle.v0.3+json".into()),
        ..referrer.root.clone()
    };
    let reference = "org.opencontainers.image.ref.name";
    world.manifest(
        "[[images]]\nimage = \"oci:layout\"\nname = \"registry.example.com/team/app:1\"\n\
         verify = { keys = [\"keys/vendor.pub\"] }\n",
    );
    world.sandbox.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = |entries: &[&Descriptor]| {
        let index = json!({ "schemaVersion": 2, "manifests": entries });
        world.sandbox.write("layout/index.json", index.to_string());
    };
    index(&[&root]);
    world.json(&["lock"]).refused(5, "upstream-unsigned");
    for made in [&legacy, &referrer] {
        made.contents.iter().for_each(|(_, bytes)| blob(bytes));
    }
    // As skopeo and crane keep it, as `cosign save` does, and as `oras copy -r` does.
    let beside = [
        with(&legacy.root, reference, &cosign::tag(&root.digest)),
        with(&legacy.root, "kind", "dev.cosignproject.cosign/sigs"),
        listed,
    ];
    for entry in &beside {
        index(&[&root, entry]);
        let locked = world.json(&["lock", "--update"]).json();
        assert_eq!(locked["upstream_signatures"][0]["outcome"], "verified");
    }
    world.build().ok();
    assert_eq!(world.evidence()["images"][0]["by"][0]["form"], "bundle");
    // On another machine, where nothing is in the store yet.
    std::fs::remove_dir_all(world.sandbox.path("media")).unwrap();
    world.json(&["build", "--home", "elsewhere", "--key", "release.key", "-o", "media"]).ok();
    index(&[&root]);
    let gone = world.json(&["build", "--home", "third", "--key", "release.key", "-o", "again"]);
    gone.refused(4, "blob-missing");
}
