//! A text that is never shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Holds a password or a key; every way to print it shows `***`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Gives a URL fit to be shown: credentials and options may be secrets, and stay out. A text without `//` is taken as a
/// URL whose scheme is left out.
pub(crate) fn masked_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("//") {
        Some((scheme, rest)) => (format!("{scheme}//"), rest),
        None => (String::new(), url),
    };
    let (shown, options) = match rest.find(['?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    // Such an @ may end a password with a ? in it, and then nothing tells where the place begins.
    if options.contains('@') {
        return format!("{scheme}{MASK}");
    }
    let place = match shown.rsplit_once('@') {
        Some((_, place)) => format!("{MASK}@{place}"),
        None => shown.to_owned(),
    };
    let options = if options.is_empty() { String::new() } else { format!("?{MASK}") };
    format!("{scheme}{place}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_carry_no_secret() {
        for (url, shown) in [
            ("https://h:1/x", "https://h:1/x"),
            ("https://u:hunter2@h:1/x", "https://***@h:1/x"),
            ("https://me@corp:hunter2@h/", "https://***@h/"),
            ("u:hunter2@h:1", "***@h:1"),
            ("https://h/x?key=hunter2", "https://h/x?***"),
            ("https://h/x#hunter2", "https://h/x?***"),
            ("https://me@corp:hun?ter2@h/", "https://***"),
            ("https://h/?a=b@c&key=hunter2", "https://***"),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }

    #[test]
    fn secret_is_masked_however_it_is_printed() {
        let secret = Secret::new("hunter2");
        let printed = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(printed, r#"*** *** "***""#);
        assert_eq!(secret.reveal(), "hunter2");
    }
}
