//! Countries by the two letters of ISO 3166-1.

use std::sync::{Arc, LazyLock};

use super::country_names::NAMES;

/// A country as it is stored.
#[derive(Clone)]
pub(super) struct Country {
    /// The two letters, in upper case.
    pub(super) code: Arc<str>,
    /// The short English name; none for letters that no list knows.
    pub(super) name: Option<Arc<str>>,
}

/// Sorted by code, as the table is. Shared, so that 100,000 places hold the texts of 250 countries once.
static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    let of = |&(code, name): &(&str, &str)| Country { code: code.into(), name: Some(name.into()) };
    NAMES.iter().map(of).collect()
});

impl Country {
    /// Reads a provider's code, in either case.
    ///
    /// Codes that stand for no country are none, so that they become no rows beside real countries: the letters that ISO
    /// 3166-1 leaves to users (`AA`, `QM`–`QZ`, `XA`–`XZ`, `ZZ`, but not `XK`, which all databases use for Kosovo), the
    /// regions that address registries write where they know no country (`EU`, `AP`), and whatever is not two letters
    /// (`-`, `None`, `A1`, `T1`). Two letters that no list knows are kept: a country may be younger than this version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let letters = <[u8; 2]>::try_from(text.as_bytes()).ok()?.map(|b| b.to_ascii_uppercase());
        let is_country = match letters {
            [b'X', b'K'] => true,
            [b'A', b'A'] | [b'Q', b'M'..=b'Z'] | [b'X', _] | [b'Z', b'Z'] => false,
            [b'A', b'P'] | [b'E', b'U'] => false,
            _ => letters.iter().all(u8::is_ascii_uppercase),
        };
        let code = str::from_utf8(&letters).ok().filter(|_| is_country)?;
        let at = COUNTRIES.binary_search_by(|country| (*country.code).cmp(code)).ok();
        let listed = at.and_then(|at| COUNTRIES.get(at)).cloned();
        Some(listed.unwrap_or_else(|| Self { code: code.into(), name: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(code: &str) -> Option<String> {
        Some(Country::parse(code)?.name?.to_string())
    }

    #[test]
    fn every_country_has_its_own_name() {
        assert_eq!(NAMES.len(), 249 + 1);
        assert!(NAMES.is_sorted_by_key(|(code, _)| code));
        let distinct: std::collections::HashSet<_> = NAMES.iter().map(|(_, name)| name).collect();
        assert_eq!(distinct.len(), NAMES.len());
        for (code, listed) in NAMES {
            assert_eq!(name(code).as_deref(), Some(*listed), "{code}");
            assert_eq!(name(&code.to_lowercase()).as_deref(), Some(*listed), "{code}");
        }
    }

    #[test]
    fn what_is_no_country_is_none() {
        for text in [
            "", "-", "--", "None", "ZZ", "zz", "EU", "AP", "AA", "XX", "QM", "A1", "A2", "O1",
            "T1", " US", "USA", "Å", "日",
        ] {
            assert!(Country::parse(text).is_none(), "{text:?}");
        }
        assert_eq!(name("XK").as_deref(), Some("Kosovo"));
        assert_eq!(name("QA").as_deref(), Some("Qatar"));
    }

    #[test]
    fn unlisted_letters_are_kept_without_a_name() {
        let gone = Country::parse("an").unwrap();
        assert_eq!((&*gone.code, gone.name), ("AN", None));
    }

    #[test]
    fn texts_are_shared() {
        let (first, second) = (Country::parse("SE").unwrap(), Country::parse("se").unwrap());
        assert!(Arc::ptr_eq(&first.code, &second.code));
    }
}
