//! Where visitors are: what providers answer, and why nobody did.
//!
//! ```
//! use hitstream_domain::geo::{GeoStatus, Location, address};
//!
//! // Only an address of the public internet is worth a question, however it is written.
//! assert_eq!(address("[2a00:1450:4001::8a]:443"), Ok("2a00:1450:4001::8a".parse()?));
//! assert_eq!(address("::ffff:10.0.0.7"), Err(GeoStatus::Private));
//!
//! // A provider's answer, as it came and as it is kept.
//! let came = Location {
//!     country_code: Some("se".into()),
//!     region: Some("-".into()),
//!     city: Some("Malmö".into()),
//!     ..Location::default()
//! };
//! let kept = came.tidy().unwrap_or_default();
//! assert_eq!(kept.country_code.as_deref(), Some("SE"));
//! assert_eq!(kept.country.as_deref(), Some("Sweden"));
//! assert_eq!(kept.region, None);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod address;
mod country;
mod country_names;
mod location;
mod outcome;

pub use address::address;
pub(crate) use address::parse;
pub use location::Location;
pub use outcome::{GeoSource, GeoStatus};
