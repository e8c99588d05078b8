//! A place, as far as a provider knows it.

use std::sync::Arc;

use super::country::Country;

/// Where an address is, as far as a provider knows. Texts are shared: caches hold the same countries many times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// ISO 3166-1 alpha-2.
    pub country_code: Option<Arc<str>>,
    /// The country's name in English.
    pub country: Option<Arc<str>>,
    /// Region or state.
    pub region: Option<Arc<str>>,
    /// City.
    pub city: Option<Arc<str>>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Time zone, as the provider has it.
    pub time_zone: Option<Arc<str>>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Autonomous system name.
    pub as_name: Option<Arc<str>>,
}

impl Location {
    /// The answer as it is kept, whoever gave it; none if it says nothing, and then the address is not found.
    ///
    /// A country is known by its code: that is put in upper case, codes of no country (`ZZ`, `EU`, `A1` …) go with the
    /// name they bring, and the name is the usual English one of the code, for providers differ ("Viet Nam",
    /// "Vietnam"), or give none. Texts lose blanks around them, are at most 200 characters, and hold no NUL, which
    /// PostgreSQL refuses; empty ones and `-` are none. Coordinates are both or none: off the globe, or 0° 0°, which
    /// providers write for unknown and which is open sea, are none. AS 0 is none.
    #[must_use]
    pub fn tidy(mut self) -> Option<Self> {
        for text in [
            &mut self.country_code,
            &mut self.country,
            &mut self.region,
            &mut self.city,
            &mut self.time_zone,
            &mut self.as_name,
        ] {
            tidy_text(text);
        }
        if let Some(code) = &self.country_code {
            let country = Country::parse(code);
            self.country_code = country.as_ref().map(|country| Arc::clone(&country.code));
            self.country = country.and_then(|country| country.name.or(self.country));
        }
        (self.latitude, self.longitude) = self
            .latitude
            .zip(self.longitude)
            .filter(|&(latitude, longitude)| is_place(latitude, longitude))
            .unzip();
        self.asn = self.asn.filter(|&asn| asn != 0);
        (self != Self::default()).then_some(self)
    }
}

/// Place names are far shorter, but what comes from outside may be anything.
const MAX_TEXT_CHARS: usize = 200;

/// Leaves what is tidy as it is, still shared.
fn tidy_text(text: &mut Option<Arc<str>>) {
    let Some(given) = text else { return };
    let trimmed = given.trim();
    let end = trimmed.char_indices().nth(MAX_TEXT_CHARS).map_or(trimmed.len(), |(at, _)| at);
    let kept = trimmed.get(..end).unwrap_or_default();
    if matches!(kept, "" | "-") {
        *text = None;
    } else if kept.contains('\0') {
        *text = Some(kept.replace('\0', "\u{fffd}").into());
    } else if kept.len() < given.len() {
        *text = Some(kept.into());
    }
}

/// NaN is nowhere.
fn is_place(latitude: f64, longitude: f64) -> bool {
    latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude != 0.0 || longitude != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(code: &str, country: &str) -> Location {
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        Location { country_code: text(code), country: text(country), ..Location::default() }
    }

    #[test]
    fn one_country_has_one_name_whoever_says_it() {
        let expected = Some(place("VN", "Vietnam"));
        for given in [place("VN", ""), place("vn", "Viet Nam"), place(" VN ", "-")] {
            assert_eq!(given.tidy(), expected);
        }
        assert_eq!(
            place("AN", "Netherlands Antilles").tidy(),
            Some(place("AN", "Netherlands Antilles"))
        );
        assert_eq!(place("", "Atlantis").tidy(), Some(place("", "Atlantis")));
    }

    #[test]
    fn code_of_no_country_goes_with_its_name() {
        let europe = Location { asn: Some(3320), ..place("EU", "Europe") };
        assert_eq!(europe.tidy(), Some(Location { asn: Some(3320), ..Location::default() }));
    }

    #[test]
    fn answer_that_says_nothing_is_none() {
        let unknown = Location {
            region: Some(" ".into()),
            city: Some("-".into()),
            latitude: Some(0.0),
            longitude: Some(-0.0),
            asn: Some(0),
            ..place("-", "-")
        };
        assert_eq!(unknown.tidy(), None);
        assert_eq!(Location::default().tidy(), None);
    }

    #[test]
    fn texts_are_bounded_and_fit_for_postgresql() {
        let city = |text: &str| {
            Location { city: Some(text.into()), ..Location::default() }
                .tidy()
                .unwrap()
                .city
                .unwrap()
        };
        assert_eq!(&*city(" São Paulo\n"), "São Paulo");
        assert_eq!(&*city("a\0b"), "a\u{fffd}b");
        assert_eq!(city(&"é".repeat(1_000)).chars().count(), 200);
    }

    #[test]
    fn tidy_text_stays_shared() {
        let zone: Arc<str> = "Asia/Tokyo".into();
        let place = Location { time_zone: Some(Arc::clone(&zone)), ..Location::default() };
        assert!(Arc::ptr_eq(&place.tidy().unwrap().time_zone.unwrap(), &zone));
    }

    #[test]
    fn coordinates_are_both_or_none() {
        let tidied = |latitude, longitude| {
            let place = Location { latitude, longitude, ..place("SE", "") }.tidy().unwrap();
            place.latitude.zip(place.longitude)
        };
        for (latitude, longitude) in [
            (Some(90.1), Some(0.0)),
            (Some(1.0), Some(-180.5)),
            (Some(f64::NAN), Some(1.0)),
            (Some(1.0), Some(f64::INFINITY)),
            (Some(58.4), None),
            (None, Some(15.6)),
        ] {
            assert_eq!(tidied(latitude, longitude), None);
        }
        assert_eq!(tidied(Some(-90.0), Some(180.0)), Some((-90.0, 180.0)));
        assert_eq!(tidied(Some(0.0), Some(6.5)), Some((0.0, 6.5)));
    }
}
