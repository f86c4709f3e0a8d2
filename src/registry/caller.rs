//! Who sends a request.

use std::net::IpAddr;

use axum::{
    extract::ConnectInfo,
    http::{header, request::Parts},
};

use super::{
    Registry,
    login::{self, Known},
    peer::Peer,
    respond::Refusal,
};
use crate::{
    base::{clock::Timestamp, failure::Failure},
    ledger::Proof,
    rules::{Right, Subject},
    store::Author,
};

/// What records call who has no account.
pub(super) const ANYONE: &str = "anyone";

/// Somebody with an account, or without one, at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// Whose rights count.
    pub(super) subject: Subject,
    /// What a token was narrowed to; all that the subject may where it was not, or where there is none.
    pub(super) scope: Option<Vec<Scope>>,
    /// Where the request comes from.
    pub(super) address: IpAddr,
    /// How that was proven.
    pub(super) proof: Option<Proof>,
    /// It was proven by this request, and not of late already.
    pub(super) is_new: bool,
    /// Nothing was said about who sends it: neither by an account, nor by the token that those without one get.
    pub(super) silent: bool,
}

/// One thing that a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// The repository, as the client calls it; empty for the catalog of all.
    pub(super) repository: String,
    /// What may be done there.
    pub(super) actions: Vec<Right>,
}

impl Caller {
    /// Somebody who is known, or somebody who is not.
    pub(super) fn new(known: Option<Known>, address: IpAddr) -> Self {
        let Some(Known { name, kind, groups, scope, proof, is_new, .. }) = known else {
            let subject = Subject::anonymous();
            return Self { subject, scope: None, address, proof: None, is_new: false, silent: true };
        };
        let subject = Subject { name: Some(login::name(kind, name)), groups };
        Self { subject, scope, address, proof: Some(proof), is_new, silent: false }
    }

    /// Somebody who has not logged in.
    #[cfg(test)]
    pub(super) fn anonymous(address: IpAddr) -> Self {
        Self::new(None, address)
    }

    /// As what is done is remembered.
    pub(super) fn author(&self) -> Author {
        let who = self.subject.name.as_ref().map_or_else(|| ANYONE.to_owned(), ToString::to_string);
        Author { who, time: Timestamp::now() }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.subject.name.is_none()
    }

    /// Whether the token, where there is one, is good for this. That is no right yet.
    pub(super) fn brings(&self, right: Right, repository: &str) -> bool {
        self.scope.as_ref().is_none_or(|scope| {
            scope.iter().any(|one| one.repository == repository && one.actions.contains(&right))
        })
    }

    /// The same caller of a mirror, where `repository` of the store is called `name`: a token is asked for by the name
    /// that the client knows, before it tells whose mirror it wants.
    pub(super) fn through_mirror(mut self, name: &str, repository: &str) -> Self {
        for scope in self.scope.iter_mut().flatten().filter(|scope| scope.repository == name) {
            repository.clone_into(&mut scope.repository);
        }
        self
    }
}

/// Finds out who sends a request, and counts it.
pub(super) async fn caller(registry: &Registry, parts: &Parts) -> Result<Caller, Refusal> {
    find(registry, parts, true).await
}

/// Finds out once more who sends a request that was counted already: a body may take long, and whoever sends it may be
/// somebody else when it is there.
pub(super) async fn caller_by_now(registry: &Registry, parts: &Parts) -> Result<Caller, Refusal> {
    find(registry, parts, false).await
}

async fn find(registry: &Registry, parts: &Parts, is_counted: bool) -> Result<Caller, Refusal> {
    #[cfg(test)]
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return Ok(caller.clone());
    }
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<Peer>>() else {
        return Err(Refusal::fault(Failure::internal("a request came from nowhere")));
    };
    let address = peer.address.ip();
    let identified = registry.login.identify(&parts.headers, peer).await;
    let known = identified.inspect_err(|_refusal| registry.pay_for_failed(address))?;
    let silent = known.is_none() && !parts.headers.contains_key(header::AUTHORIZATION);
    let caller = Caller { silent, ..Caller::new(known, address) };
    if is_counted && let Err(refusal) = registry.pay(&caller) {
        // Whatever comes of the request, a password was found right.
        registry.told_of_login(&caller)?;
        return Err(refusal);
    }
    Ok(caller)
}
