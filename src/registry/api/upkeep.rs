//! What operators do with the store.

use std::sync::{Mutex, MutexGuard, TryLockError};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Needs, Operation, Refusal, Replied, Reply, Room, table::shape};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason},
        limits,
        progress::Silent,
    },
    oci::error_code,
    report::upkeep::{CollectionReport, Plan, PlanMade, PruneReport, StoreReport},
    rules::Pattern,
    site::{days_before, plan_made, store_report},
    store::{
        check::{self, Options},
        prune::Wish,
    },
};

pub(super) const ROOM: Room = Room {
    name: "upkeep",
    route: "api-upkeep",
    about: "The store: the same as `sealift store check` and `sealift prune`. One of these at a time.",
    operations: &[
        Operation {
            id: "store-check",
            method: "GET",
            path: "/store",
            needs: Needs::All,
            summary: "Compare the database with the disk, and say what is wrong; change nothing",
            more: "Manifests are hashed; what hashes all contents, and mends them, is `sealift store` on the machine.",
            query: &[],
            body: None,
            answer: shape::<StoreReport>,
            problems: &[],
            run: look,
        },
        Operation {
            id: "collect",
            method: "POST",
            path: "/store/collect",
            needs: Needs::All,
            summary: "Take off the disk now what nobody needs any more",
            more: "A server does so by itself, every minute and after each deletion.",
            query: &[],
            body: None,
            answer: shape::<CollectionReport>,
            problems: &[],
            run: collect,
        },
        Operation {
            id: "prune-plan",
            method: "POST",
            path: "/prune/plan",
            needs: Needs::All,
            summary: "List what nobody needs, for people to review; change nothing",
            more: "",
            query: &[],
            body: Some(shape::<Wanted>),
            answer: shape::<PlanMade>,
            problems: &[422],
            run: plan,
        },
        Operation {
            id: "prune-apply",
            method: "POST",
            path: "/prune/apply",
            needs: Needs::All,
            summary: "Do what a plan lists, each only if nothing needs it by now",
            more: "The plan is the member `plan` of what `prune-plan` answers; to leave something out, take its entry away.",
            query: &[],
            body: Some(shape::<Plan>),
            answer: shape::<PruneReport>,
            problems: &[422],
            run: apply,
        },
    ],
};

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PruneWish")]
struct Wanted {
    /// Manifests that no tag reaches; what is listed where nothing else is asked for.
    #[serde(default)]
    untagged: bool,
    /// Also what imports brought by digest, without a tag: without this it stays, for it is pulled by digest.
    #[serde(default)]
    imported: bool,
    /// Contents that nothing published needs.
    #[serde(default)]
    unreferenced: bool,
    /// Only what nobody needs since so many days.
    #[serde(default)]
    older_than: u32,
    /// Only manifests of these repositories, for instance `apps/**`.
    #[serde(default)]
    repository: Option<String>,
}

/// Each of these looks through the whole store.
static TURN: Mutex<()> = Mutex::new(());
/// When to ask again for it.
const AGAIN_SECONDS: u32 = 10;

fn turn() -> Result<MutexGuard<'static, ()>, Refusal> {
    match TURN.try_lock() {
        Ok(turn) => Ok(turn),
        Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
        Err(TryLockError::WouldBlock) => {
            let refusal = Refusal::later(error_code::UNAVAILABLE, AGAIN_SECONDS);
            Err(refusal
                .detail("another request looks through the store now: ask again when that is answered"))
        }
    }
}

fn look(call: &Call) -> Replied {
    let _turn = turn()?;
    let home = call.registry.store.home();
    let options = Options { home, read_data: false, workers: 1, now: Timestamp::now() };
    Reply::of(&store_report(home, check::check(&options, &Silent)?))
}

fn collect(call: &Call) -> Replied {
    let _turn = turn()?;
    let done = call.registry.store.collect(Timestamp::now())?;
    let (released, removed, bytes, held) = (done.released, done.removed, done.bytes, done.held);
    Reply::of(&CollectionReport { schema: 1, released, removed, bytes, held })
}

fn plan(call: &Call) -> Replied {
    let wanted: Wanted = call.body()?;
    let pattern = wanted.repository.as_deref().map(|text| {
        Pattern::parse(text).map_err(|wrong| {
            Failure::new(Reason::BadArgument, "repository", wrong).hint("write a pattern such as apps/**")
        })
    });
    let pattern = pattern.transpose()?;
    if pattern.is_some() && wanted.unreferenced {
        let message = "contents are of no repository: it cannot be given with `unreferenced`";
        return Err(Failure::new(Reason::BadArgument, "repository", message)
            .hint("ask for them apart")
            .into());
    }
    let _turn = turn()?;
    let now = Timestamp::now();
    let wish = Wish {
        untagged: wanted.untagged || wanted.imported || !wanted.unreferenced,
        brought: wanted.imported,
        unreferenced: wanted.unreferenced,
        repositories: pattern.as_ref(),
        before: days_before(now, wanted.older_than),
    };
    let plan = call.registry.store.plan(&wish, now)?;
    let (text, digest) = plan_made(&plan)?;
    if text.len() as u64 > limits::API_BODY_BYTES {
        let message = "the plan would be larger than a request may be";
        return Err(Failure::new(Reason::BadArgument, "plan", message)
            .hint("list less at once: `repository`, `older_than`")
            .into());
    }
    Reply::of(&PlanMade { schema: 1, digest: digest.to_string(), bytes: plan.bytes(), plan })
}

fn apply(call: &Call) -> Replied {
    let plan: Plan = call.body()?;
    if plan.schema != 1 {
        let message = format!("it is {}, this sealift knows 1", plan.schema);
        return Err(Failure::new(Reason::BadArgument, "schema", message)
            .hint("send a plan that this API made")
            .into());
    }
    let _turn = turn()?;
    let (_text, digest) = plan_made(&plan)?;
    let report = call.site().prune(&plan, &digest)?;
    Reply::of(&report)
}
