//! What is known of an address, ready to be added to rows and sums.

use hitstream_domain::geo::{GeoSource, GeoStatus, Location};
use hitstream_domain::rollup::Dimension;

use super::lookups::LookupOutcome;
use crate::packed::PackedRows;

/// An address's location, or why there is none; its columns are packed once, however many hits it has.
#[derive(Debug)]
pub(super) struct Answer {
    outcome: LookupOutcome,
    location: Location,
    packed: Box<[u8]>,
}

impl Answer {
    /// Somebody knows.
    pub(super) fn located(location: Location, source: GeoSource) -> Self {
        let outcome = LookupOutcome::located(source);
        Self { outcome, packed: pack(Some(source), None, &location), location }
    }

    /// Nobody does.
    pub(super) fn unlocated(status: GeoStatus) -> Self {
        let location = Location::default();
        let outcome = LookupOutcome::unlocated(status);
        Self { outcome, packed: pack(None, Some(status), &location), location }
    }

    /// Who answered, and what.
    pub(super) fn outcome(&self) -> LookupOutcome {
        self.outcome
    }

    /// The geographic columns of a row, `geo_source` and `geo_status` before them.
    pub(super) fn columns(&self) -> &[u8] {
        &self.packed
    }

    /// What a rollup groups by, where that is a matter of geography.
    pub(super) fn dimension(&self, dimension: Dimension) -> Option<&str> {
        match dimension {
            Dimension::CountryCode => self.location.country_code.as_deref(),
            Dimension::Region => self.location.region.as_deref(),
            Dimension::City => self.location.city.as_deref(),
            Dimension::Host | Dimension::Referrer => None,
        }
    }
}

/// Whether somebody knew the place of these geographic columns: who, is the first of them.
pub(crate) fn is_located(columns: &[u8]) -> bool {
    const NULL: [u8; 4] = (-1_i32).to_be_bytes();
    !columns.starts_with(&NULL)
}

/// The geographic columns of an event whose place PostgreSQL refuses.
pub(crate) fn without_place() -> Box<[u8]> {
    pack(None, Some(GeoStatus::Error), &Location::default())
}

/// In the order of [`super::EVENT_FIELDS`].
fn pack(source: Option<GeoSource>, status: Option<GeoStatus>, location: &Location) -> Box<[u8]> {
    let mut row = PackedRows::default();
    row.text(source.map(GeoSource::as_str))
        .text(status.map(GeoStatus::as_str))
        .text(location.country_code.as_deref())
        .text(location.country.as_deref())
        .text(location.region.as_deref())
        .text(location.city.as_deref())
        .double(location.latitude)
        .double(location.longitude)
        .text(location.time_zone.as_deref());
    match location.asn {
        Some(asn) => row.bigint(asn.into()),
        None => row.null(),
    };
    row.text(location.as_name.as_deref());
    row.into_fields()
}
