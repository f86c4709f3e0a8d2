//! Who sends a request.

use std::net::{IpAddr, Ipv4Addr};

use axum::{extract::ConnectInfo, http::request::Parts};

use super::{Registry, door::Peer, respond::Refusal};
use crate::{
    base::clock::Timestamp,
    rules::{Right, Subject},
    store::Author,
};

/// Somebody with an account, or without one, at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// Whose rights count.
    pub(super) subject: Subject,
    /// What a token was narrowed to; all that the subject may where it was not, or where there is none.
    pub(super) scope: Option<Vec<Scope>>,
    /// Where the request comes from.
    pub(super) address: IpAddr,
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
    /// Somebody who has not logged in.
    pub(super) fn anonymous(address: IpAddr) -> Self {
        Self { subject: Subject::anonymous(), scope: None, address }
    }

    /// As what is done is remembered.
    pub(super) fn author(&self) -> Author {
        let who = self.subject.name.as_ref().map_or_else(|| "anyone".to_owned(), ToString::to_string);
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

/// Finds out who sends a request: nobody has an account yet, so nobody is known.
pub(super) async fn caller(_registry: &Registry, parts: &Parts) -> Result<Caller, Refusal> {
    #[cfg(test)]
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return Ok(caller.clone());
    }
    let peer = parts.extensions.get::<ConnectInfo<Peer>>();
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(Peer(address))| address.ip());
    Ok(Caller::anonymous(address))
}
