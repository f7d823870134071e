//! The tables that the generated rule sets name, each with every column that such a set may name.

use nizhal::{Table, TableDesc};

macro_rules! tables {
    ($($Table:ident)*) => {$(
        #[nizhal::table]
        pub(super) struct $Table {
            #[nizhal(primary_key)]
            id: String,
            shop_of: String,
            owner_id_of: String,
            type_of: String,
            shop_id_of: String,
            region_of: String,
            shop: String,
            name: String,
            v: i64,
            r#type: String,
            c1: Option<String>,
            c2: Option<i64>,
            c3: Option<bool>,
            c4: Option<String>,
            c5: Option<i64>,
            c6: Option<bool>,
            c7: Option<String>,
            c8: Option<i64>,
            c9: Option<bool>,
        }
    )*};
}
tables! { Table0 Table1 Table2 Table3 Table4 Table5 }

/// How many columns each of them has.
pub(super) const COLUMNS: usize = Table0::DESC.columns.len();

#[nizhal::table]
pub(super) struct Member {
    #[nizhal(primary_key)]
    user_id: String,
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    r#type: String,
    tenant: String,
    c1: Option<String>,
    c2: Option<i64>,
    c3: Option<bool>,
    c4: Option<String>,
    v: i64,
    c5: Option<i64>,
    c6: Option<bool>,
    c7: Option<String>,
    c8: Option<i64>,
    c9: Option<bool>,
}

/// The description of the table of this SQL name.
pub(in crate::oracle) fn desc(name: &str) -> &'static TableDesc {
    const ALL: [&TableDesc; 7] =
        [&Table0::DESC, &Table1::DESC, &Table2::DESC, &Table3::DESC, &Table4::DESC, &Table5::DESC, &Member::DESC];
    ALL.into_iter().find(|desc| desc.name == name).unwrap_or_else(|| panic!("no table {name}"))
}
