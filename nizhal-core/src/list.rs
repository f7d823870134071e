//! `tables![…]` and `mutators![…]`: paths to the lists that an app is made of.

/// The descriptions of tables: `tables![Customer, ShopMember]`.
#[macro_export]
macro_rules! tables {
    ($($table:path),* $(,)?) => {
        $crate::__private::Vec::<&'static $crate::TableDesc>::from([
            $(const { &<$table as $crate::Table>::DESC }),*
        ])
    };
}

/// The entries of mutators: `mutators![record_credit, record_payment]`.
#[macro_export]
macro_rules! mutators {
    ($($mutator:path),* $(,)?) => {
        $crate::__private::Vec::<$crate::MutatorEntry>::from([$($crate::MutatorEntry::of::<$mutator>()),*])
    };
}
