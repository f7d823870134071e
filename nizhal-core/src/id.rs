//! What `#[nizhal::id]` writes: a newtype that is a key, a bucket column, a claim and an argument, and mixes with no other.

/// Implements an id: conversions, the column, the bucket key, sea-orm's traits.
#[doc(hidden)]
#[macro_export]
macro_rules! __id {
    ($Id:ident $Inner:ty) => {
        const _: () = {
            // The user's types are named in here: nothing but this one odd name may shadow theirs.
            use $crate::__private as __p;

            impl $Id {
                /// The value inside.
                #[allow(dead_code, unreachable_pub)]
                pub fn into_inner(self) -> $Inner {
                    self.0
                }
            }
            impl ::std::convert::From<$Inner> for $Id {
                fn from(inner: $Inner) -> Self {
                    Self(inner)
                }
            }
            impl ::std::convert::AsRef<$Inner> for $Id {
                fn as_ref(&self) -> &$Inner {
                    &self.0
                }
            }
            impl ::std::fmt::Display for $Id {
                fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    ::std::fmt::Display::fmt(&self.0, f)
                }
            }
            impl ::std::str::FromStr for $Id {
                type Err = <$Inner as ::std::str::FromStr>::Err;
                fn from_str(text: &str) -> __p::Result<Self, Self::Err> {
                    <$Inner as ::std::str::FromStr>::from_str(text).map(Self)
                }
            }
            impl $crate::ColumnType for $Id {
                const SQL: $crate::SqlType = <$Inner as $crate::ColumnType>::SQL;
            }
            impl $crate::ScopeColumn for $Id {
                fn to_scope(&self) -> $crate::ScopeValue {
                    $crate::ScopeColumn::to_scope(&self.0)
                }
            }
            $crate::__stored!($Id as $Inner, |id| id.0, |inner| __p::Result::Ok($Id(inner)));
        };
    };
}

#[cfg(test)]
mod tests {
    use crate::{ColumnType, ScopeColumn, ScopeValue, SqlType};
    use sea_orm::Value;

    #[derive(Clone, Debug, PartialEq)]
    struct ShopId(String);
    crate::__id!(ShopId String);

    #[test]
    fn an_id_is_stored_as_what_is_inside() {
        let id: ShopId = "s1".parse().unwrap();
        assert_eq!((id.to_string(), id.to_scope()), ("s1".to_owned(), ScopeValue::Text("s1".to_owned())));
        assert_eq!(ShopId::SQL, SqlType::Text);
        assert_eq!(Value::from(id.clone()), Value::from("s1"));
        assert_eq!(crate::entity::unwrap::<ShopId>("s1".into()).unwrap(), id);
        assert_eq!(crate::entity::unwrap::<Option<ShopId>>(Value::String(None)).unwrap(), None);
        assert!(crate::entity::unwrap::<ShopId>(7.into()).is_err());
    }
}
