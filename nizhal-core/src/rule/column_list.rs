//! What of a rule is judged when it is compiled, by a table's description: columns that it lists, that name its buckets, and
//! texts; and the narrower description of a table of which it lists columns.

use crate::{Col, ColumnDesc, ColumnIndex, ColumnType, Table, TableDesc};

impl<T: Table, C> Col<T, C> {
    /// A column that a rule lists; does not compile for one that may not leave the server.
    #[doc(hidden)]
    #[track_caller]
    pub const fn column_index(self) -> ColumnIndex {
        if T::DESC.columns[self.index().get()].private {
            panic!("this column is private, so no rule may list it: take it out of the list");
        }
        self.index()
    }

    /// Judges a column whose values name buckets; does not compile for one that may not leave the server.
    #[doc(hidden)]
    #[track_caller]
    pub const fn names_buckets(self) {
        if T::DESC.columns[self.index().get()].private {
            panic!(
                "this column is private, and its values would name buckets, which devices read: take `private` away, or use \
                 another column"
            );
        }
    }
}

impl<T, C: ColumnType> Col<T, C> {
    /// Judges a text that the column is compared with; does not compile for one that an enum lacks.
    #[doc(hidden)]
    #[track_caller]
    pub const fn knows(self, text: &str) {
        let texts = C::TEXTS;
        let mut at = 0;
        while at < texts.len() {
            if is(texts[at], text) {
                return;
            }
            at += 1;
        }
        if !texts.is_empty() {
            panic!("the column's enum has no such text: name one of its variants, `Enum::Variant`");
        }
    }
}

/// The columns that a rule lists; does not compile when one of the key is missing.
#[track_caller]
pub const fn keyed<T: Table, const N: usize>(list: [ColumnIndex; N]) -> [ColumnIndex; N] {
    let key = T::DESC.key;
    let mut at = 0;
    while at < key.len() {
        if !holds(&list, key[at].get()) {
            panic!("this list lacks a column of the primary key: devices name rows by it, so write it first");
        }
        at += 1;
    }
    list
}

/// The table's columns, those that are not listed as private ones; the engine's own come always.
pub const fn narrowed<const COLUMNS: usize>(table: &TableDesc, list: &[ColumnIndex]) -> [ColumnDesc; COLUMNS] {
    let mut columns = [table.columns[0]; COLUMNS];
    let mut at = 0;
    while at < COLUMNS {
        columns[at] = table.columns[at];
        let engine = is(columns[at].name, "updated_at") || is(columns[at].name, "deleted_at");
        columns[at].private |= !engine && !holds(list, at);
        at += 1;
    }
    columns
}

const fn holds(list: &[ColumnIndex], wanted: usize) -> bool {
    let mut at = 0;
    while at < list.len() {
        if list[at].get() == wanted {
            return true;
        }
        at += 1;
    }
    false
}

const fn is(name: &str, wanted: &str) -> bool {
    let (name, wanted) = (name.as_bytes(), wanted.as_bytes());
    let mut at = 0;
    while at < name.len() && at < wanted.len() && name[at] == wanted[at] {
        at += 1;
    }
    at == name.len() && at == wanted.len()
}

/// The description of a table of which these columns leave the server.
#[doc(hidden)]
#[macro_export]
macro_rules! __narrowed {
    ($table:ty, $list:expr) => {{
        const TABLE: $crate::TableDesc = <$table as $crate::Table>::DESC;
        const COLUMNS: [$crate::ColumnDesc; TABLE.columns.len()] = $crate::__private::narrowed(&TABLE, &$list);
        const { &$crate::TableDesc { columns: &COLUMNS, ..TABLE } }
    }};
}
