//! `tables![…]`, `mutators![…]` and `jobs![…]`: paths to the lists that an app is made of.

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
    ($($($mutator:ident)::+),* $(,)?) => {
        $crate::__private::Vec::<$crate::MutatorEntry>::from([
            // By an alias: where a type must stand, rustc says that a plain function is none, and points at it.
            $({ type Named = $($mutator)::+; $crate::MutatorEntry::of::<Named>() }),*
        ])
    };
}

/// The entries of jobs: `jobs![sms_reminder]`.
#[macro_export]
macro_rules! jobs {
    ($($($job:ident)::+),* $(,)?) => {
        $crate::__private::Vec::<$crate::JobEntry>::from([
            // By an alias, as for mutators.
            $({ type Named = $($job)::+; $crate::JobEntry::of::<Named>() }),*
        ])
    };
}
