//! Passwords: made, hashed for keeping, and compared with what was kept.

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    failure::{Failure, Reason, Result},
    redact::Secret,
};

/// Bytes of a password that is compared: a longer one is wrong, whatever it is.
pub const LONGEST: usize = 1024;
/// Characters of a password that people choose (NIST SP 800-63B, 3.1.1: at least 8).
const SHORTEST: usize = 8;

/// The hash of a password that nobody knows: comparing with it takes as long as with any other.
pub const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2VhbGlmdCBub2JvZHk$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

/// A new secret of 192 bits, in letters that need no quotes.
pub fn random() -> Result<Secret> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(Failure::internal)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash to keep: Argon2id with 19 MiB, two passes and one lane (OWASP, "Password Storage"), as a PHC string.
///
/// # Errors
/// [`Reason::BadArgument`] for a password that is too short or too long to be one.
pub fn hash(password: &Secret) -> Result<Secret> {
    let text = password.reveal();
    if text.chars().count() < SHORTEST || text.len() > LONGEST {
        let message = format!("it has fewer than {SHORTEST} characters, or more than {LONGEST} bytes");
        return Err(
            Failure::new(Reason::BadArgument, "password", message).hint("choose another, or let one be made")
        );
    }
    let hash = Argon2::default().hash_password(text.as_bytes()).map_err(Failure::internal)?;
    Ok(Secret::new(hash.to_string()))
}

/// Whether `password` is the one whose hash was kept. It takes the same time for every password.
pub fn matches(password: &Secret, hash: &str) -> bool {
    password.reveal().len() <= LONGEST
        && Argon2::default().verify_password(password.reveal().as_bytes(), hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_its_hash_and_no_other() {
        let password = random().unwrap();
        assert_eq!(password.reveal().len(), 32);
        let kept = hash(&password).unwrap();
        assert!(kept.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "OWASP's parameters");
        assert_ne!(kept, hash(&password).unwrap(), "each with its own salt");
        assert!(matches(&password, kept.reveal()));
        for wrong in [&random().unwrap(), &Secret::new(""), &Secret::new("x".repeat(LONGEST + 1))] {
            assert!(!matches(wrong, kept.reveal()));
        }
        assert!(!matches(&password, NOBODY) && !matches(&password, "") && !matches(&password, "no hash"));
        for wrong in ["1234567", &"x".repeat(LONGEST + 1)] {
            assert_eq!(hash(&Secret::new(wrong)).unwrap_err().reason, Reason::BadArgument);
        }
    }

    /// R17: what is said about nobody is worked out like what is said about somebody.
    #[test]
    fn nobodys_hash_costs_what_others_cost() {
        let parts = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parts(NOBODY), parts(hash(&random().unwrap()).unwrap().reveal()));
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODY).is_ok());
    }
}
