//! How a bucket is reached: what `store.toml` says of it, and the credentials, which never stand there.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, RetryConfig, aws::AmazonS3Builder, path::Path as Key,
};

use super::bucket::Bucket;
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        fs,
        redact::Secret,
    },
    store::settings::{BucketSettings, secret_lines, wrong},
};

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may say nothing while it is asked something, or sends something; and how long a part may take on its
/// way up, for the clock of a request runs from its beginning until it is answered: 9 Mbit/s with all memory for parts in use.
const SILENCE: Duration = Duration::from_mins(1);
/// After so long, nothing is asked once more: longer than one request may take, or none that ran out of time would be.
const RETRIES_END: Duration = Duration::from_secs(90);
const RETRIES: usize = 4;

/// Who one is to an object store.
#[derive(Debug)]
pub struct Credentials {
    /// The id of an access key.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
    /// What comes with both where they are lent for a while.
    pub token: Option<Secret>,
}

/// Those of the environment.
static OF_ENVIRONMENT: OnceLock<Credentials> = OnceLock::new();

/// Uses these for every home whose `store.toml` names no file with others: what is read of the environment, by who alone
/// reads it.
pub fn use_credentials(credentials: Credentials) {
    let _first_counts = OF_ENVIRONMENT.set(credentials);
}

impl Bucket {
    /// The one that the settings of a home name. Nothing is asked of it yet.
    pub(super) fn of(home: &Path, settings: &BucketSettings) -> Result<Self> {
        let wrong = |why: String| wrong(home, format!("[contents] {why}"));
        let BucketSettings { endpoint, bucket, .. } = settings;
        let host = endpoint.strip_prefix("https://").or_else(|| {
            let plain = endpoint.strip_prefix("http://");
            plain.filter(|_host| settings.plain_http)
        });
        if host.is_none() && endpoint.starts_with("http://") {
            return Err(wrong(format!(
                "endpoint {endpoint}: the way there is not encrypted; use https://, or say `plain_http = true`"
            )));
        }
        let host = host.map(|host| host.trim_end_matches('/')).filter(|host| !host.is_empty());
        if host.is_none_or(|host| host.contains(['/', '@', '?', '#', ' '])) {
            return Err(wrong(format!("endpoint {endpoint}: expected https://HOST or https://HOST:PORT")));
        }
        if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(wrong(format!("bucket {bucket}: expected letters, digits, `-`, `.`, `_`")));
        }
        let prefix = settings.prefix.as_deref().unwrap_or_default();
        let key = Key::parse(prefix).map_err(|error| wrong(format!("prefix {prefix}: {error}")))?;
        let place = match key.as_ref() {
            "" => format!("s3://{bucket}"),
            prefix => format!("s3://{bucket}/{prefix}"),
        };
        let credentials = match &settings.credentials_file {
            Some(file) => &of_file(&home.join(file))?,
            None => OF_ENVIRONMENT.get().ok_or_else(|| {
                wrong("there are no credentials: name a `credentials_file`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned())
            })?,
        };
        // A whole download takes as long as its client does.
        let mut client = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT)
            .with_read_timeout(SILENCE)
            .with_allow_http(settings.plain_http);
        if let Some(file) = &settings.ca_file {
            client = client.with_no_system_certificates(true);
            for authority in authorities(&home.join(file))? {
                client = client.with_root_certificate(authority);
            }
        }
        let mut address = AmazonS3Builder::new()
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_bucket_name(bucket)
            .with_region(settings.region.as_deref().unwrap_or("us-east-1"))
            .with_access_key_id(&credentials.id)
            .with_secret_access_key(credentials.secret.reveal())
            .with_client_options(client);
        if let Some(token) = &credentials.token {
            address = address.with_token(token.reveal());
        }
        let with = |retries: usize| {
            let retry = RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(3),
                    base: 2.0,
                },
                max_retries: retries,
                retry_timeout: RETRIES_END,
            };
            let store = address.clone().with_retry(retry).build();
            store.map(Arc::new).map_err(|error| wrong(error.to_string()))
        };
        // A second deletion that is answered says nothing of the first (fence.rs).
        Ok(Self::new(with(RETRIES)?, key, place)?.deleting_by(with(0)?))
    }
}

/// The credentials in a file: the id on its first line, the secret on its second.
fn of_file(file: &Path) -> Result<Credentials> {
    let mut lines = secret_lines(file)?.into_iter();
    match (lines.next(), lines.next()) {
        (Some(id), Some(secret)) if !id.reveal().is_empty() && !secret.reveal().is_empty() => {
            Ok(Credentials { id: id.reveal().trim().to_owned(), secret, token: None })
        }
        _ => Err(Failure::new(
            Reason::BadArgument,
            file.display(),
            "expected two lines: the id of an access key, and its secret",
        )
        .hint("write both into it; see docs/operations.md, \"Several machines\"")),
    }
}

/// The certificates in a file.
fn authorities(file: &Path) -> Result<Vec<Certificate>> {
    let text = fs::read_user_text(file)?;
    match Certificate::from_pem_bundle(text.as_bytes()) {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(Failure::new(
            Reason::CaFile,
            file.display(),
            "it holds no certificate in PEM that can be read",
        )),
    }
}
