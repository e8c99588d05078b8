//! What a database's record says about an address, in whichever form it says it.
//!
//! Two forms are about. MaxMind's nests (`country.iso_code`, `city.names.en`, `location.latitude`); that of ip-location-db
//! and others is flat (`country_code`, `city`, `latitude`). Their keys do not contradict each other, so that one decoder
//! reads both, and a record that mixes them; [`Place::inside`] is the table of where each column comes from. Values are
//! borrowed from the database, and what is not needed is skipped, not decoded.

use std::fmt;
use std::sync::Arc;

use hitstream_domain::geo::Location;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A record's answers; empty text and `None` are no answer.
#[derive(Default)]
pub(super) struct Record<'a> {
    country_code: &'a str,
    country: &'a str,
    region: &'a str,
    city: &'a str,
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: &'a str,
    asn: Option<u32>,
    as_name: &'a str,
}

impl Record<'_> {
    /// The answers as they are kept; none if there is nothing to keep.
    pub(super) fn location(&self) -> Option<Location> {
        let location = Location {
            country_code: text(self.country_code),
            country: text(self.country),
            region: text(self.region),
            city: text(self.city),
            latitude: self.latitude,
            longitude: self.longitude,
            time_zone: text(self.time_zone),
            asn: self.asn,
            as_name: text(self.as_name),
        };
        location.tidy()
    }
}

fn text(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut record = Record::default();
        At { place: Place::Record, record: &mut record }.deserialize(deserializer)?;
        Ok(record)
    }
}

/// A place in a record: a group of further keys, or one of the columns, or (`Country`, `City`) either.
#[derive(Clone, Copy)]
enum Place {
    Record,
    Country,
    CountryNames,
    CountryCode,
    CountryName,
    Subdivisions,
    Subdivision,
    SubdivisionNames,
    Region,
    City,
    CityNames,
    CityName,
    Location,
    Latitude,
    Longitude,
    TimeZone,
    Traits,
    Asn,
    AsName,
}

impl Place {
    /// What a key means here; `None` where it is of no interest.
    ///
    /// `registered_country` and `represented_country` are not used: they are not where the visitor is.
    fn inside(self, key: &str) -> Option<Self> {
        Some(match (self, key) {
            (Self::Record, "country") => Self::Country,
            (Self::Record, "subdivisions") => Self::Subdivisions,
            (Self::Record, "city") => Self::City,
            (Self::Record, "location") => Self::Location,
            (Self::Record, "traits") => Self::Traits,

            (Self::Country, "names") => Self::CountryNames,
            (Self::Subdivision, "names") => Self::SubdivisionNames,
            (Self::City, "names") => Self::CityNames,

            (Self::Record, "country_code") | (Self::Country, "iso_code") => Self::CountryCode,
            (Self::Record, "country_name") | (Self::CountryNames, "en") => Self::CountryName,
            (Self::Record, "state1" | "state2" | "region") | (Self::SubdivisionNames, "en") => {
                Self::Region
            }
            (Self::CityNames, "en") => Self::CityName,
            (Self::Record | Self::Location, "latitude") => Self::Latitude,
            (Self::Record | Self::Location, "longitude") => Self::Longitude,
            (Self::Record, "timezone" | "time_zone") | (Self::Location, "time_zone") => {
                Self::TimeZone
            }
            (Self::Record | Self::Traits, "autonomous_system_number")
            | (Self::Record, "asn" | "as_number") => Self::Asn,
            (Self::Record | Self::Traits, "autonomous_system_organization")
            | (Self::Record, "as_organization" | "as_name") => Self::AsName,
            _ => return None,
        })
    }
}

/// Decodes the value at a place into the record. A value of a kind that the place does not have is no answer; only data
/// that is no value at all is an error.
struct At<'r, 'de> {
    place: Place,
    record: &'r mut Record<'de>,
}

impl<'de> DeserializeSeed<'de> for At<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&str>()? {
            match self.place.inside(key) {
                Some(place) => map.next_value_seed(At { place, record: &mut *self.record })?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    /// Subdivisions go from large to small; the first is the region.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if matches!(self.place, Place::Subdivisions) {
            seq.next_element_seed(At { place: Place::Subdivision, record: self.record })?;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        let record = self.record;
        match self.place {
            Place::CountryCode => first(&mut record.country_code, text),
            // Flat forms have either a code or a name there.
            Place::Country if text.len() == 2 => first(&mut record.country_code, text),
            Place::Country | Place::CountryName => first(&mut record.country, text),
            Place::Region => first(&mut record.region, text),
            Place::City | Place::CityName => first(&mut record.city, text),
            Place::TimeZone => first(&mut record.time_zone, text),
            Place::AsName => first(&mut record.as_name, text),
            Place::Latitude => record.latitude = text.trim().parse().ok(),
            Place::Longitude => record.longitude = text.trim().parse().ok(),
            Place::Asn => record.asn = text.strip_prefix("AS").unwrap_or(text).parse().ok(),
            _ => {}
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        match self.place {
            Place::Latitude => self.record.latitude = Some(number),
            Place::Longitude => self.record.longitude = Some(number),
            _ => {}
        }
        Ok(())
    }

    fn visit_f32<E: Error>(self, number: f32) -> Result<(), E> {
        self.visit_f64(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match (self.place, u32::try_from(number)) {
            (Place::Asn, Ok(number)) => self.record.asn = Some(number),
            (_, Ok(number)) => return self.visit_f64(number.into()),
            _ => {}
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match (u64::try_from(number), i32::try_from(number)) {
            (Ok(number), _) => self.visit_u64(number),
            (_, Ok(number)) => self.visit_f64(number.into()),
            _ => Ok(()),
        }
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }
}

/// The first answer that is one stays: `state1` goes before `state2`.
fn first<'de>(column: &mut &'de str, text: &'de str) {
    if column.is_empty() {
        *column = text;
    }
}
