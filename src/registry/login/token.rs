//! Tokens: short-lived, signed by a key that all who serve one store share, and never more than a note of who asked
//! for what. Who that is now, and what they may do now, each request looks up (threats R19).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::scope::Scope;
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Result},
        password,
    },
    store::TokenKey,
};

/// How long a token holds; the distribution-spec's clients expect a minute at the least.
pub(super) const SECONDS: u64 = 300;
/// How far the clocks of two who serve one store may be apart.
const LEEWAY: u64 = 30;
const ISSUER: &str = "sealift";

/// What a token says (distribution, "Token Authentication Implementation").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    pub(super) iss: String,
    /// The account; nothing for who did not log in.
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) exp: u64,
    pub(super) nbf: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
    pub(super) access: Vec<Scope>,
    /// The password that opened the account, by the number of its making.
    pub(super) generation: String,
}

impl Claims {
    pub(super) fn new(
        service: &str,
        (sub, generation): (&str, &str),
        access: Vec<Scope>,
        now: Timestamp,
    ) -> Result<Self> {
        let now = now.seconds();
        Ok(Self {
            iss: ISSUER.to_owned(),
            sub: sub.to_owned(),
            aud: service.to_owned(),
            exp: now + SECONDS,
            nbf: now,
            iat: now,
            jti: password::random()?.reveal().to_owned(),
            access,
            generation: generation.to_owned(),
        })
    }

    /// The token (RFC 7515, compact serialization).
    pub(super) fn sign(&self, key: &TokenKey) -> Result<String> {
        let claims = serde_json::to_vec(self).map_err(Failure::internal)?;
        let signed = format!("{}.{}", header(key), URL_SAFE_NO_PAD.encode(claims));
        let signature = mac(key, &signed)?.finalize().into_bytes();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What a token says, if one of `keys` signed it, and it holds here and now.
    ///
    /// The header decides nothing: it must be, letter by letter, the one that we write for one of our keys. So there is
    /// no algorithm, and no place of a key, that a token could choose.
    pub(super) fn verify(token: &str, keys: &[TokenKey], service: &str, now: Timestamp) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header_text, claims) = signed.split_once('.')?;
        let key = keys.iter().find(|key| header(key) == header_text)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        mac(key, signed).ok()?.verify_slice(&signature).ok()?;
        let claims: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let now = now.seconds();
        let holds = claims.iss == ISSUER
            && claims.aud == service
            && now < claims.exp
            && claims.nbf <= now.saturating_add(LEEWAY);
        holds.then_some(claims)
    }
}

fn header(key: &TokenKey) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{}"}}"#, key.id))
}

fn mac(key: &TokenKey, signed: &str) -> Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.key.reveal().as_bytes()).map_err(Failure::internal)?;
    mac.update(signed.as_bytes());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::redact::Secret;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds).unwrap()
    }

    fn key(id: &str, key: &str) -> TokenKey {
        TokenKey { id: id.into(), key: Secret::new(key) }
    }

    fn claims() -> Claims {
        let access = Scope::parse_all(["repository:a:pull"]).unwrap();
        Claims::new("here", ("alice", "1"), access, at(0)).unwrap()
    }

    /// A token made by hand, signed with `key` as its header may or may not say.
    fn forged(header: &str, claims: &str, key: &TokenKey) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = mac(key, &signed).unwrap().finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let (old, new) = (key("old", "k1"), key("new", "k2"));
        let keys = [new.clone(), old.clone()];
        for signer in &keys {
            let token = claims().sign(signer).unwrap();
            let read = |now| Claims::verify(&token, &keys, "here", now);
            let found = read(at(0)).unwrap();
            assert_eq!(Claims { jti: found.jti.clone(), ..claims() }, found);
            assert!(read(at(SECONDS - 1)).is_some());
            assert!(read(at(SECONDS)).is_none(), "R19: expired");
            let before = Timestamp::from_seconds(at(0).seconds() - LEEWAY - 1).unwrap();
            assert!(read(before).is_none(), "R19: not yet");
        }
        assert_ne!(claims().jti, claims().jti);
        let verified = |token: &str| Claims::verify(token, &keys, "here", at(1)).is_some();
        // The layout above is what the attacks below change.
        let (header, text) =
            (r#"{"alg":"HS256","typ":"JWT","kid":"new"}"#, serde_json::to_string(&claims()).unwrap());
        assert!(verified(&forged(header, &text, &new)));
    }

    /// R19: each way in which a token lies about itself.
    #[test]
    fn tokens_do_not_choose_how_they_are_checked() {
        let keys = [key("new", "k2")];
        let good = claims();
        let text = serde_json::to_string(&good).unwrap();
        let with = |change: &dyn Fn(&mut Claims)| {
            let mut claims = good.clone();
            change(&mut claims);
            serde_json::to_string(&claims).unwrap()
        };
        let header = |text: &str| text.to_owned();
        let ours = header(r#"{"alg":"HS256","typ":"JWT","kid":"new"}"#);
        let unsigned = |alg: &str| {
            let header = format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"new"}}"#);
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&text))
        };
        let token = good.sign(&keys[0]).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let more = with(&|claims| claims.access[0].actions.push("push".into()));
        let cases = [
            ("unsigned", unsigned("none")),
            ("unsigned, spelt otherwise", unsigned("NONE")),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("without a part", format!("{}.{}", parts[0], parts[1])),
            ("with a part more", format!("{token}.x")),
            ("changed claims", format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(&more), parts[2])),
            ("another key", forged(&ours, &text, &key("new", "k1"))),
            (
                "a key of its own",
                forged(&header(r#"{"alg":"HS256","typ":"JWT","kid":"x"}"#), &text, &key("x", "k")),
            ),
            (
                "a path as key",
                forged(&header(r#"{"alg":"HS256","typ":"JWT","kid":"/dev/null"}"#), &text, &key("", "")),
            ),
            (
                "a key in its header",
                forged(&header(r#"{"alg":"HS256","typ":"JWT","kid":"new","jwk":{}}"#), &text, &keys[0]),
            ),
            (
                "a chain in its header",
                forged(&header(r#"{"alg":"RS256","typ":"JWT","x5c":["x"]}"#), &text, &keys[0]),
            ),
            ("another audience", forged(&ours, &with(&|claims| claims.aud = "there".into()), &keys[0])),
            ("another issuer", forged(&ours, &with(&|claims| claims.iss = "x".into()), &keys[0])),
            ("unknown claims", forged(&ours, &text.replace("\"sub\"", "\"admin\":true,\"sub\""), &keys[0])),
            ("no claims", forged(&ours, "", &keys[0])),
            ("nothing", String::new()),
        ];
        for (what, token) in cases {
            assert_eq!(Claims::verify(&token, &keys, "here", at(1)), None, "{what}");
        }
        assert_eq!(Claims::verify(&token, &[], "here", at(1)), None, "no key");
    }
}
