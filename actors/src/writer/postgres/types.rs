//! Domain values as PostgreSQL's binary types.

use bytes::{BufMut, BytesMut};
use hitstream_domain::rollup::RowKey;
use hitstream_domain::time::EventTime;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::packed::{from_timestamptz, timestamptz};

type BoxError = Box<dyn std::error::Error + Sync + Send>;

/// A `timestamptz`, infinities included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp(pub(super) EventTime);

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_i64(timestamptz(self.0));
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Ok(Self(from_timestamptz(i64::from_be_bytes(raw.try_into()?))))
    }

    accepts!(TIMESTAMPTZ);
}

/// A row key as `uuid`: 16 bytes without a length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uuid(pub(super) RowKey);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_slice(&self.0.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}
