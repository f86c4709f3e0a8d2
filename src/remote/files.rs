//! Plain GET: small documents and large files.

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use super::{
    Client, Inner,
    auth::Access,
    download::Length,
    hosts::{Origin, parse_url},
    http::{Answer, Call},
    retry::Trouble,
};
use crate::{
    base::{
        failure::{Reason, Result},
        redact,
    },
    store::BlobWriter,
};

impl Client {
    /// A small document such as a chart repository's index, at most `limit` bytes; `None` when the server
    /// has none.
    pub async fn document(&self, url: &str, limit: u64) -> Result<Option<Bytes>> {
        let call = self.inner.file_call(url)?;
        self.inner.persist(|| self.inner.document(&call, limit)).await
    }

    /// The same for a document that may stand beside another one, such as a chart's provenance file. Servers
    /// that list nothing to strangers say *forbidden* where there is none.
    pub async fn companion(&self, url: &str, limit: u64) -> Result<Option<Bytes>> {
        let call = self.inner.file_call(url)?;
        let outcome = self.inner.persist(|| async {
            let answer = self.inner.send(&call).await?;
            if answer.status() == StatusCode::FORBIDDEN {
                return Ok(None);
            }
            Inner::read_document(answer, &call, limit).await
        });
        match outcome.await {
            Err(failure) if failure.reason == Reason::AuthFailed => Ok(None),
            outcome => outcome,
        }
    }

    /// Streams a file of at most `limit` bytes into `writer`, going on after what it holds; the caller checks
    /// and commits. A file that the server does not have is a failure.
    pub async fn file(&self, url: &str, mut writer: BlobWriter, limit: u64) -> Result<BlobWriter> {
        let call = self.inner.file_call(url)?;
        self.inner.download(&call, &mut writer, Length::AtMost(limit), &mut 0).await?;
        Ok(writer)
    }
}

impl Inner {
    fn file_call(&self, url: &str) -> Result<Call> {
        let url = parse_url(url, url)?;
        self.hosts.check_scheme(&url)?;
        let origin = Origin::of(&url);
        let account = origin.name();
        let access = Access { origin, account, repository: String::new(), scopes: Vec::new() };
        let object = redact::url(url.as_str());
        Ok(Call::new(Method::GET, url, object, access))
    }

    async fn document(&self, call: &Call, limit: u64) -> Result<Option<Bytes>, Trouble> {
        Self::read_document(self.send(call).await?, call, limit).await
    }

    async fn read_document(answer: Answer, call: &Call, limit: u64) -> Result<Option<Bytes>, Trouble> {
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.read(limit, &call.object).await?)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            _ => Err(answer.refused(Reason::HttpStatus, &call.object).await.into()),
        }
    }
}
