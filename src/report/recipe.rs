//! `VERIFY.txt`: how to check and open a bundle with nothing but stock tools.

/// The recipe. It depends on name and version only, so that a copy can be kept and compared.
pub fn text(name: &str, version: &str) -> String {
    RECIPE.replace("@NAME@", name).replace("@VERSION@", version)
}

const RECIPE: &str = include_str!("verify.txt");
