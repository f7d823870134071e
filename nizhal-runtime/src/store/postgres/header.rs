//! The header of a pull on Postgres: the rows of its statement that come before the changes.

use super::statement::kind;
use crate::store::{
    StoreError,
    read::{Client, PullHeader},
};
use sqlx::{Row, postgres::PgRow};

/// The texts of a control row in an idle probe.
const CONTROL_TEXTS: usize = 5;

/// Reads a row of the header into it.
pub(super) fn read_into(header: &mut PullHeader, kind: i32, row: &PgRow) -> Result<(), StoreError> {
    match kind {
        kind::CONTROL => {
            let mut texts: Vec<String> = row.try_get(5)?;
            header.triggers = (texts.len() > CONTROL_TEXTS).then(|| texts.pop()).flatten();
            [header.epoch, header.secret, header.recorded_incarnation, header.rules, header.generations] =
                exactly(texts)?;
            header.collected = row.try_get(3)?;
        }
        kind::MEMBERS => {
            let (rule, param) = (index(row.try_get(1)?)?, index(row.try_get(2)?)?);
            let values = row.try_get::<Option<Vec<String>>, _>(5)?.unwrap_or_default();
            header.members.extend(values.into_iter().map(|value| (rule, param, value)));
        }
        kind::CLIENT => {
            let (last, last_version, outrun) = (row.try_get(3)?, row.try_get(4)?, row.try_get(7)?);
            header.client = Some(Client { last, last_version, outrun });
        }
        _ => return Err(sqlx::Error::Decode("a row of no known kind".into()).into()),
    }
    Ok(())
}

/// A row's texts, of which there are so many.
pub(super) fn array<const N: usize>(row: &PgRow) -> Result<[String; N], sqlx::Error> {
    exactly(row.try_get(5)?)
}

fn exactly<const N: usize>(texts: Vec<String>) -> Result<[String; N], sqlx::Error> {
    texts.try_into().map_err(|_| sqlx::Error::Decode(format!("a row has not {N} texts").into()))
}

/// The header of a database that has a control row.
pub(super) fn provisioned(header: PullHeader) -> Result<PullHeader, StoreError> {
    if header.epoch.is_empty() {
        return Err(StoreError::no_control());
    }
    Ok(header)
}

/// An index that the statement gave back.
pub(super) fn index(number: i32) -> Result<usize, StoreError> {
    usize::try_from(number).map_err(|_| sqlx::Error::Decode("a negative place".into()).into())
}
